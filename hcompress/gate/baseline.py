"""The gate's baseline: what each artifact weighed and read when somebody last said why."""

from __future__ import annotations

import codecs
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Final

from hcompress.errors import InputRefused
from hcompress.strict.files import quoted, refuse_stand_in
from hcompress.strict.json import strict_json
from hcompress.strict.read import read, take_version
from hcompress.strict.schema import Param

Share = Annotated[Decimal, Param(minimum=0, maximum=1)]
Images = Annotated[int, Param(minimum=1)]
_Bytes = Annotated[int, Param(minimum=0)]
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class NotCounted:
    """What did not count in an accuracy, as `metrics.Ignored` writes itself."""

    kinds: tuple[str, ...] = ()
    characters: str = ""

    def __str__(self) -> str:
        return ", ".join([*self.kinds, *self.characters]) or "nothing"


EVERYTHING_COUNTS: Final = NotCounted()


@dataclass(frozen=True, slots=True)
class BaselineEntry:
    """What an artifact weighed and read when the baseline was last updated."""

    bytes: _Bytes
    components: Mapping[str, _Bytes]
    accuracy: Share | None = None
    images: Images | None = None
    data_digest: str | None = None
    ignored: NotCounted = EVERYTHING_COUNTS
    digest: Annotated[str, Param("a SHA-256", pattern="[0-9a-f]{64}")] | None = None
    """Of the file: by it an artifact is known under another name."""

    def __post_init__(self) -> None:
        if sum(self.components.values()) != self.bytes:
            raise InputRefused("components do not add up to bytes")
        if self.accuracy is None:
            if (self.images, self.data_digest, self.ignored) != (None, None, EVERYTHING_COUNTS):
                raise InputRefused("accuracy is missing, though it says of what it is")
        elif self.images is None:
            raise InputRefused("images is missing, of which accuracy is a share")


@dataclass(frozen=True, slots=True)
class BudgetEntry:
    """What a budget's files weighed together, and each of them."""

    bytes: _Bytes
    files: Mapping[str, _Bytes]

    def __post_init__(self) -> None:
        if sum(self.files.values()) != self.bytes:
            raise InputRefused("files do not add up to bytes")


@dataclass(frozen=True)
class Baseline:
    """A baseline file: entries by path, budgets by name, and why each update was made."""

    artifacts: Mapping[str, BaselineEntry]
    history: tuple[Mapping[str, Any], ...] = ()
    budgets: Mapping[str, BudgetEntry] = field(default_factory=dict)

    @cached_property
    def recorded(self) -> frozenset[str]:
        """What has an entry by its history, whether or not one is there."""
        return frozenset(self._recorded("changes"))

    @cached_property
    def recorded_budgets(self) -> frozenset[str]:
        """As `recorded`, of budgets."""
        return frozenset(self._recorded("budgets"))

    def _recorded(self, key: str) -> Iterator[str]:
        there: dict[str, bool] = {}
        for line in self.history:
            changes = line.get(key)
            for path, change in changes.items() if isinstance(changes, Mapping) else ():
                after = change.get("after") if isinstance(change, Mapping) else None
                name = identity(path) if key == "changes" else path
                there[name] = after is not None
        return (path for path, kept in there.items() if kept)


def identity(path: str) -> str:
    """A path by which an artifact is known, however it is spelt: ``./m.onnx`` is ``m.onnx``."""
    return posixpath.normpath(path)


def parse_baseline(text: str | bytes, where: str) -> Baseline:
    """A baseline file's text. Raises InputRefused unless `gate --update` wrote it."""
    if isinstance(text, bytes):
        refuse_stand_in(text, where)
    plain = text.removeprefix(codecs.BOM_UTF8) if isinstance(text, bytes) else text
    _, raw = take_version(strict_json(plain, where), "schema_version", (SCHEMA_VERSION,), where)
    if "history" not in raw:
        raise InputRefused(f"{where}: history is missing: why each update was made")
    found = read(Baseline, raw, where)
    entries: dict[str, BaselineEntry] = {}
    for path, entry in found.artifacts.items():
        if entries.setdefault(identity(path), entry) is not entry:
            raise InputRefused(f"{where}: artifacts: {quoted(path)} stands there twice")
    return Baseline(entries, found.history, found.budgets)
