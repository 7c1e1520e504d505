"""The gate's baseline: what each artifact weighed and read when somebody last said why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, TypeGuard

from hcompress.errors import InputRefused
from hcompress.strict.files import quoted
from hcompress.strict.json import strict_json

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class BaselineEntry:
    """What an artifact weighed and read when the baseline was last updated."""

    bytes: int
    components: Mapping[str, int]
    accuracy: Decimal | None = None
    images: int | None = None
    data_digest: str | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline file: entries by path, and why each update was made."""

    artifacts: Mapping[str, BaselineEntry]
    history: tuple[Mapping[str, Any], ...] = ()


def parse_baseline(text: str | bytes, where: str) -> Baseline:
    """A baseline file's text. Raises InputRefused where `gate --update` did not write it."""
    raw = strict_json(text, where)
    if not isinstance(raw, dict) or set(raw) != {"schema_version", "artifacts", "history"}:
        raise InputRefused(f"{where}: is no baseline: needs schema_version, artifacts, history")
    if type(raw["schema_version"]) is not int or raw["schema_version"] != SCHEMA_VERSION:
        raise InputRefused(f"{where}: schema_version must be {SCHEMA_VERSION}")
    artifacts, history = raw["artifacts"], raw["history"]
    if not isinstance(artifacts, dict) or not isinstance(history, list):
        raise InputRefused(f"{where}: artifacts or history is malformed")
    if not all(isinstance(item, dict) for item in history):
        raise InputRefused(f"{where}: history is malformed")
    return Baseline(
        {path: _entry(item, f"{where}: {quoted(path)}") for path, item in artifacts.items()},
        tuple(history),
    )


def _entry(raw: Any, where: str) -> BaselineEntry:
    if not isinstance(raw, dict) or not {"bytes", "components"} <= set(raw):
        raise InputRefused(f"{where}: needs bytes and components")
    unknown = set(raw) - {item.name for item in fields(BaselineEntry)}
    if unknown:
        raise InputRefused(f"{where}: unknown key {quoted(min(unknown))}")
    components = raw["components"]
    counts = [raw["bytes"], *components.values()] if isinstance(components, dict) else [None]
    if any(type(count) is not int or count < 0 for count in counts):
        raise InputRefused(f"{where}: bytes or components is malformed")
    if sum(components.values()) != raw["bytes"]:
        raise InputRefused(f"{where}: components do not add up to bytes")
    accuracy, images, digest = (raw.get(k) for k in ("accuracy", "images", "data_digest"))
    if accuracy is not None and not is_share(accuracy):
        raise InputRefused(f"{where}: accuracy is not a number from 0 to 1")
    if images is not None and (type(images) is not int or images < 1):
        raise InputRefused(f"{where}: images is not a whole number")
    if digest is not None and not isinstance(digest, str):
        raise InputRefused(f"{where}: data_digest is not a text")
    exact = None if accuracy is None else exactly(accuracy)
    return BaselineEntry(raw["bytes"], components, exact, images, digest)


def is_share(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a number from 0 to 1; true, false and NaN are not."""
    return type(value) in (int, float) and 0 <= value <= 1


def exactly(value: float) -> Decimal:
    """The decimal a float was printed as: what a person compares with a limit."""
    return Decimal(repr(value))
