"""The gate's limits, as a person wrote them in TOML: strict keys, exact numbers.

Bytes are whole numbers; percent and accuracy are Decimal, so that 0.95 - 0.94 is one point
and not a little more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from hcompress.errors import UsageError
from hcompress.gate.baseline import identity
from hcompress.sizes.groups import GROUPS
from hcompress.strict import units
from hcompress.strict.files import quoted, shown
from hcompress.strict.schema import Param
from hcompress.strict.show import suggest
from hcompress.strict.toml import read_file, read_toml

MAX_PERCENT = 1_000_000
_PATH = r"[^\0]+"
_Count = Annotated[int, Param(minimum=0)]
_Most = Annotated[int, Param(units.HELP, minimum=0, written=units.bytes_at_most)]
_Least = Annotated[int, Param(units.HELP, minimum=0, written=units.bytes_at_least)]
_Percent = Annotated[Decimal, Param(minimum=0, maximum=MAX_PERCENT)]
_Share = Annotated[Decimal, Param(minimum=0, maximum=1)]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits on one number of bytes. None: not limited."""

    max_bytes: _Most | None = None
    min_bytes: _Least | None = None
    warn_bytes: _Most | None = None
    max_growth_percent: _Percent | None = None
    warn_growth_percent: _Percent | None = None
    growth_floor_bytes: _Most = 0
    """Growth up to this many bytes is never held against a build."""

    def __post_init__(self) -> None:
        if self.growth_floor_bytes and not self.relative:
            raise UsageError("growth_floor_bytes does nothing without max_growth_percent")
        low, high, warn = self.min_bytes, self.max_bytes, self.warn_bytes
        _ordered(low, high, "min_bytes is above max_bytes")
        _ordered(warn, high, "warn_bytes is above max_bytes")
        growth, most = self.warn_growth_percent, self.max_growth_percent
        _ordered(growth, most, "warn_growth_percent is above max_growth_percent")

    @property
    def relative(self) -> bool:
        """Whether a baseline is needed."""
        return self.max_growth_percent is not None or self.warn_growth_percent is not None


class WideInterval(StrEnum):
    """What becomes of a limit that the lines are too few to tell."""

    FAIL = "fail"
    WARN = "warn"
    PASS = "pass"


@dataclass(frozen=True, slots=True)
class AccuracyLimits:
    """Limits on an `hcompress eval --json` result; accuracy 0 to 1, drops in points."""

    evaluation: Annotated[str, Param("the path of an `hcompress eval --json` file", pattern=_PATH)]
    min_accuracy: _Share | None = None
    warn_accuracy: _Share | None = None
    max_accuracy_drop: _Percent | None = None
    warn_accuracy_drop: _Percent | None = None
    min_images: _Count | None = None
    min_accuracy_low: _Share | None = None
    """Of the lower end of the accuracy's 95% interval."""
    wide_interval: WideInterval = WideInterval.FAIL

    def __post_init__(self) -> None:
        limits = (entry.name for entry in fields(self)[1:] if entry.name != "wide_interval")
        if all(getattr(self, name) is None for name in limits):
            raise UsageError("sets no limit: give it min_accuracy")
        least, warn = self.min_accuracy, self.warn_accuracy
        _ordered(least, warn, "warn_accuracy is below min_accuracy")
        drop, most = self.warn_accuracy_drop, self.max_accuracy_drop
        _ordered(drop, most, "warn_accuracy_drop is above max_accuracy_drop")

    @property
    def relative(self) -> bool:
        """Whether a baseline is needed."""
        return self.max_accuracy_drop is not None or self.warn_accuracy_drop is not None


@dataclass(frozen=True, kw_only=True)
class ArtifactLimits(Bounds):
    """Everything asked of one file or artifact folder; of its whole size as of a component's."""

    path: Annotated[str, Param("the path of a file or an artifact folder", pattern=_PATH)]
    each: bool = False
    """The path is a pattern, and the limits are those of each file that fits it."""
    renamed_from: Annotated[str, Param("the path that it had", pattern=_PATH)] | None = None
    """What the baseline calls it."""
    components: Mapping[str, Bounds] = field(default_factory=dict)
    accuracy: AccuracyLimits | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_components(self.components)
        if self.bounds == Bounds() and not self.components and self.accuracy is None:
            raise UsageError("sets no limit: give it max_bytes, or take it out")
        if self.renamed_from is not None and identity(self.renamed_from) == self.key:
            raise UsageError("renamed_from is its own path")
        if self.each and (self.accuracy is not None or self.renamed_from is not None):
            what = "an evaluation" if self.accuracy is not None else "renamed_from"
            raise UsageError(f"each is of many files, and {what} of one: give that one its own")

    @property
    def bounds(self) -> Bounds:
        """Those on its whole size."""
        return Bounds(*(getattr(self, entry.name) for entry in fields(Bounds)))

    @property
    def key(self) -> str:
        """What it is called in the baseline, however the path is spelt."""
        return identity(self.path)

    @property
    def compares(self) -> bool:
        """Whether any limit of it needs a baseline."""
        parts = (self, self.accuracy, *self.components.values())
        return any(part is not None and part.relative for part in parts)


@dataclass(frozen=True, kw_only=True)
class BudgetLimits(Bounds):
    """Limits on the bytes of several files together."""

    name: Annotated[str, Param("what it is called", pattern=r"\S(.*\S)?")]
    paths: tuple[Annotated[str, Param("a path or a pattern", pattern=_PATH)], ...]
    """Files, folders with all below them, and patterns; each has to fit something."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.paths:
            raise UsageError("paths is empty: a budget of nothing is never spent")
        if self.bounds == Bounds():
            raise UsageError("sets no limit: give it max_bytes, or take it out")

    @property
    def bounds(self) -> Bounds:
        return Bounds(*(getattr(self, entry.name) for entry in fields(Bounds)))


@dataclass(frozen=True)
class Limits:
    """A limits file. ``baseline``: the baseline's path beside it, where it names one."""

    artifacts: tuple[ArtifactLimits, ...] = ()
    baseline: Annotated[str, Param("a path", pattern=_PATH)] | None = None
    budgets: tuple[BudgetLimits, ...] = ()

    def __post_init__(self) -> None:
        if not self.artifacts and not self.budgets:
            raise UsageError("has no [[artifacts]]: a gate that checks nothing passes all")
        _once(((one.key, one.path) for one in self.artifacts), "artifact")
        _once(((one.name, one.name) for one in self.budgets), "budget")
        named = [one for one in self.artifacts if one.renamed_from is not None]
        _once(((identity(one.renamed_from or ""), one.renamed_from or "") for one in named),
              "renamed_from")  # fmt: skip
        keys = {one.key for one in self.artifacts}
        for one in named:
            if identity(one.renamed_from or "") in keys:
                raise UsageError(
                    f"artifact {quoted(one.path)}: renamed_from = {quoted(one.renamed_from or '')}:"
                    " is still there under that name"
                )

    @property
    def relative(self) -> bool:
        """Whether any limit needs a baseline."""
        return any(one.compares for one in self.artifacts) or any(
            one.relative for one in self.budgets
        )


def read_limits(path: Path) -> Limits:
    """Read a limits file. Raises UsageError naming file, place and the nearest known key."""
    raw = read_toml(path, "limits file", parse_float=Decimal)
    return read_file(Limits, raw, shown(path))


def _ordered(low: Decimal | int | None, high: Decimal | int | None, fault: str) -> None:
    if low is not None and high is not None and low > high:
        raise UsageError(fault)


def _once(named: Iterable[tuple[str, str]], what: str) -> None:
    seen: set[str] = set()
    for key, name in named:
        if key in seen:
            raise UsageError(f"{what} {quoted(name)} stands there twice")
        seen.add(key)


def _check_components(components: Mapping[str, Bounds]) -> None:
    for name, bounds in components.items():
        if name not in GROUPS:
            hint = suggest(name, GROUPS, "known")
            raise UsageError(f"components: unknown key {quoted(name)}{hint}")
        if bounds == Bounds():
            raise UsageError(f"components: {name}: sets no limit")
