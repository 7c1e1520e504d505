"""The gate's baseline: what each artifact weighed and read when somebody last said why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final

from hcompress.errors import InputRefused
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

    def __post_init__(self) -> None:
        if sum(self.components.values()) != self.bytes:
            raise InputRefused("components do not add up to bytes")


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline file: entries by path, and why each update was made."""

    artifacts: Mapping[str, BaselineEntry]
    history: tuple[Mapping[str, Any], ...] = ()


def parse_baseline(text: str | bytes, where: str) -> Baseline:
    """A baseline file's text. Raises InputRefused unless `gate --update` wrote it."""
    _, raw = take_version(strict_json(text, where), "schema_version", (SCHEMA_VERSION,), where)
    if "history" not in raw:
        raise InputRefused(f"{where}: history is missing: why each update was made")
    return read(Baseline, raw, where)
