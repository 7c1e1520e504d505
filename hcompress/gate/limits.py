"""The gate's limits, as a person wrote them in TOML: strict keys, exact numbers.

Bytes are whole numbers; percent and accuracy are Decimal, so that 0.95 - 0.94 is one point
and not a little more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from hcompress.errors import UsageError
from hcompress.gate.baseline import identity
from hcompress.sizes.groups import GROUPS
from hcompress.strict.files import quoted, shown
from hcompress.strict.schema import Param
from hcompress.strict.show import suggest
from hcompress.strict.toml import read_file, read_toml

MAX_PERCENT = 1_000_000
_PATH = r"[^\0]+"
_Count = Annotated[int, Param(minimum=0)]
_Percent = Annotated[Decimal, Param(minimum=0, maximum=MAX_PERCENT)]
_Share = Annotated[Decimal, Param(minimum=0, maximum=1)]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits on one number of bytes. None: not limited."""

    max_bytes: _Count | None = None
    min_bytes: _Count | None = None
    warn_bytes: _Count | None = None
    max_growth_percent: _Percent | None = None
    warn_growth_percent: _Percent | None = None
    growth_floor_bytes: _Count = 0
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


@dataclass(frozen=True, slots=True)
class AccuracyLimits:
    """Limits on an `hcompress eval --json` result; accuracy 0 to 1, drops in points."""

    evaluation: Annotated[str, Param("the path of an `hcompress eval --json` file", pattern=_PATH)]
    min_accuracy: _Share | None = None
    warn_accuracy: _Share | None = None
    max_accuracy_drop: _Percent | None = None
    warn_accuracy_drop: _Percent | None = None
    min_images: _Count | None = None

    def __post_init__(self) -> None:
        if all(getattr(self, entry.name) is None for entry in fields(self)[1:]):
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
    components: Mapping[str, Bounds] = field(default_factory=dict)
    accuracy: AccuracyLimits | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, bounds in self.components.items():
            if name not in GROUPS:
                hint = suggest(name, GROUPS, "known")
                raise UsageError(f"components: unknown key {quoted(name)}{hint}")
            if bounds == Bounds():
                raise UsageError(f"components: {name}: sets no limit")
        if self.bounds == Bounds() and not self.components and self.accuracy is None:
            raise UsageError("sets no limit: give it max_bytes, or take it out")

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


@dataclass(frozen=True)
class Limits:
    """A limits file. ``baseline``: the baseline's path beside it, where it names one."""

    artifacts: tuple[ArtifactLimits, ...] = ()
    baseline: Annotated[str, Param("a path", pattern=_PATH)] | None = None

    def __post_init__(self) -> None:
        if not self.artifacts:
            raise UsageError("has no [[artifacts]]: a gate that checks nothing passes all")
        seen: set[str] = set()
        for artifact in self.artifacts:
            if artifact.key in seen:
                raise UsageError(f"artifact {quoted(artifact.path)} stands there twice")
            seen.add(artifact.key)

    @property
    def relative(self) -> bool:
        """Whether any limit needs a baseline."""
        return any(artifact.compares for artifact in self.artifacts)


def read_limits(path: Path) -> Limits:
    """Read a limits file. Raises UsageError naming file, place and the nearest known key."""
    raw = read_toml(path, "limits file", parse_float=Decimal)
    return read_file(Limits, raw, shown(path))


def _ordered(low: Decimal | int | None, high: Decimal | int | None, fault: str) -> None:
    if low is not None and high is not None and low > high:
        raise UsageError(fault)
