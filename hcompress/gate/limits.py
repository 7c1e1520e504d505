"""The gate's limits, as a person wrote them in TOML: strict keys, exact numbers.

Bytes are whole numbers; percent and accuracy are Decimal, so that 0.95 - 0.94 is one point
and not a little more.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from hcompress.errors import UsageError
from hcompress.sizes.groups import GROUPS
from hcompress.strict.files import quoted, read_small, shown

SCHEMA_VERSION = 1
MAX_LIMITS_BYTES = 1 << 20
MAX_PERCENT = 1_000_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits on one number of bytes. None: not limited."""

    max_bytes: int | None = None
    min_bytes: int | None = None
    warn_bytes: int | None = None
    max_growth_percent: Decimal | None = None
    warn_growth_percent: Decimal | None = None
    growth_floor_bytes: int = 0
    """Growth up to this many bytes is never held against a build."""

    @property
    def relative(self) -> bool:
        """Whether a baseline is needed."""
        return self.max_growth_percent is not None or self.warn_growth_percent is not None


@dataclass(frozen=True, slots=True)
class AccuracyLimits:
    """Limits on an `hcompress eval --json` result; accuracy 0 to 1, drops in points."""

    evaluation: str
    min_accuracy: Decimal | None = None
    warn_accuracy: Decimal | None = None
    max_accuracy_drop: Decimal | None = None
    warn_accuracy_drop: Decimal | None = None
    min_images: int | None = None

    @property
    def relative(self) -> bool:
        """Whether a baseline is needed."""
        return self.max_accuracy_drop is not None or self.warn_accuracy_drop is not None


@dataclass(frozen=True, slots=True)
class ArtifactLimits:
    """Everything asked of one file or artifact folder."""

    path: str
    bounds: Bounds
    components: Mapping[str, Bounds] = field(default_factory=dict)
    accuracy: AccuracyLimits | None = None

    @property
    def relative(self) -> bool:
        """Whether any of it needs a baseline."""
        parts: list[Bounds | AccuracyLimits] = [self.bounds, *self.components.values()]
        parts += [self.accuracy] if self.accuracy else []
        return any(part.relative for part in parts)


@dataclass(frozen=True, slots=True)
class Limits:
    """A limits file. ``baseline``: the baseline's path beside it, where it names one."""

    artifacts: tuple[ArtifactLimits, ...]
    baseline: str | None = None

    @property
    def relative(self) -> bool:
        """Whether any limit needs a baseline."""
        return any(artifact.relative for artifact in self.artifacts)


def read_limits(path: Path) -> Limits:
    """Read a limits file. Raises UsageError naming file, place and the nearest known key."""
    try:
        text = read_small(path, MAX_LIMITS_BYTES).decode("utf-8")
        raw = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        detail = quoted(str(error), 200)[1:-1]
        raise UsageError(f"{shown(path)}: is not TOML: {detail}") from None
    return parse_limits(raw, shown(path))


def parse_limits(raw: Mapping[str, Any], where: str) -> Limits:
    """The same from parsed TOML, whose floats must be Decimal."""
    _known(raw, ("schema_version", "baseline", "artifacts"), where)
    version = raw.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise UsageError(f"{where}: schema_version must be {SCHEMA_VERSION}")
    baseline = raw.get("baseline")
    if baseline is not None:
        _text(baseline, f"{where}: baseline")
    entries = raw.get("artifacts")
    if not isinstance(entries, list) or not entries:
        raise UsageError(f"{where}: has no [[artifacts]]: a gate that checks nothing passes all")
    artifacts = tuple(
        _artifact(entry, f"{where}: artifacts[{i}]") for i, entry in enumerate(entries)
    )
    paths = [artifact.path for artifact in artifacts]
    for name in paths:
        if paths.count(name) > 1:
            raise UsageError(f"{where}: artifact {quoted(name)} stands there twice")
    return Limits(artifacts, baseline)


def _artifact(raw: Any, where: str) -> ArtifactLimits:
    if not isinstance(raw, dict):
        raise UsageError(f"{where}: is not a table")
    bound_keys = [item.name for item in fields(Bounds)]
    _known(raw, ("path", "components", "accuracy", *bound_keys), where)
    path = _text(raw.get("path"), f"{where}: path")
    where = f"{where} ({quoted(path)})"
    bounds = _bounds({key: raw[key] for key in bound_keys if key in raw}, where)
    tables = raw.get("components", {})
    if not isinstance(tables, dict):
        raise UsageError(f"{where}: components is not a table")
    _known(tables, GROUPS, f"{where}: components")
    components = {
        name: _component(table, f"{where}: components.{quoted(name)}")
        for name, table in tables.items()
    }
    accuracy = _accuracy(raw["accuracy"], f"{where}: accuracy") if "accuracy" in raw else None
    if bounds == Bounds() and not components and accuracy is None:
        raise UsageError(f"{where}: sets no limit: give it max_bytes, or take it out")
    return ArtifactLimits(path, bounds, components, accuracy)


def _component(raw: Any, where: str) -> Bounds:
    if not isinstance(raw, dict) or not raw:
        raise UsageError(f"{where}: sets no limit")
    _known(raw, [item.name for item in fields(Bounds)], where)
    return _bounds(raw, where)


def _bounds(raw: Mapping[str, Any], where: str) -> Bounds:
    values: dict[str, Any] = {}
    for key, value in raw.items():
        check = _percent if key.endswith("_percent") else _count
        values[key] = check(value, f"{where}: {key}")
    bounds = Bounds(**values)
    if bounds.growth_floor_bytes and not bounds.relative:
        raise UsageError(f"{where}: growth_floor_bytes does nothing without max_growth_percent")
    _ordered(bounds.min_bytes, bounds.max_bytes, f"{where}: min_bytes is above max_bytes")
    _ordered(bounds.warn_bytes, bounds.max_bytes, f"{where}: warn_bytes is above max_bytes")
    _ordered(
        bounds.warn_growth_percent,
        bounds.max_growth_percent,
        f"{where}: warn_growth_percent is above max_growth_percent",
    )
    return bounds


def _accuracy(raw: Any, where: str) -> AccuracyLimits:
    if not isinstance(raw, dict):
        raise UsageError(f"{where}: is not a table")
    _known(raw, [item.name for item in fields(AccuracyLimits)], where)
    values: dict[str, Any] = {}
    for key, value in raw.items():
        at = f"{where}: {key}"
        if key == "evaluation":
            values[key] = _text(value, at)
        elif key == "min_images":
            values[key] = _count(value, at)
        elif key.endswith("_drop"):
            values[key] = _percent(value, at)
        else:
            values[key] = _share(value, at)
    if "evaluation" not in values:
        raise UsageError(f"{where}: evaluation is missing: name an `hcompress eval --json` file")
    if len(values) == 1:
        raise UsageError(f"{where}: sets no limit: give it min_accuracy")
    limits = AccuracyLimits(**values)
    _ordered(
        limits.min_accuracy,
        limits.warn_accuracy,
        f"{where}: warn_accuracy is below min_accuracy",
    )
    _ordered(
        limits.warn_accuracy_drop,
        limits.max_accuracy_drop,
        f"{where}: warn_accuracy_drop is above max_accuracy_drop",
    )
    return limits


def _known(raw: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    known = list(keys)
    for key in raw:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {quoted(near[0])}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"{where}: unknown key {quoted(key)}; {hint}")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise UsageError(f"{where} must be a text that is not empty")
    return value


def _count(value: Any, where: str) -> int:
    if type(value) is not int or value < 0:
        raise UsageError(f"{where} must be a whole number of at least 0")
    return value


def _percent(value: Any, where: str) -> Decimal:
    number = _decimal(value)
    if number is None or not 0 <= number <= MAX_PERCENT:
        raise UsageError(f"{where} must be a number from 0 to {MAX_PERCENT}")
    return number


def _share(value: Any, where: str) -> Decimal:
    number = _decimal(value)
    if number is None or not 0 <= number <= 1:
        raise UsageError(f"{where} must be a number from 0 to 1 (0.95, not 95)")
    return number


def _decimal(value: Any) -> Decimal | None:
    """A finite number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    number = Decimal(value)
    return number if number.is_finite() else None


def _ordered(low: Decimal | int | None, high: Decimal | int | None, fault: str) -> None:
    if low is not None and high is not None and low > high:
        raise UsageError(fault)
