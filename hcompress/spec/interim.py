"""Interim."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar

from hcompress.errors import InputRefused

HUGE = 1 << 64
SHOWN = 60


def read(kind: Any, raw: Any, where: str) -> Any:
    return _read_fields(kind, raw)


T = TypeVar("T")


def _read_fields(kind: type[T], raw: Mapping[str, Any]) -> T:
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in hints:
            raise InputRefused(f"configuration: unknown key {_short(key)}")
        if dataclasses.is_dataclass(hints[key]) and isinstance(value, Mapping):
            values[key] = _read_fields(hints[key], value)
        else:
            values[key] = _read_value(key, hints[key], value)
    return kind(**values)


def _read_value(key: str, hint: Any, value: Any) -> Any:
    allowed = typing.get_args(hint) or (hint,)
    for kind in allowed:
        if isinstance(kind, type) and issubclass(kind, StrEnum) and isinstance(value, str):
            try:
                return kind(value)
            except ValueError:
                known = ", ".join(kind)
                raise InputRefused(
                    f"configuration: {key} = {_short(value)}; one of {known}"
                ) from None
        if kind is float and type(value) is int and abs(value) < HUGE:
            return float(value)
        if type(value) is kind:
            return value
    raise InputRefused(f"configuration: {key} has the wrong type: {_short(value)}")


def _short(value: Any) -> str:
    """As it would be typed, and no longer than a line has room for."""
    if isinstance(value, int) and abs(value) >= HUGE:
        return "a huge number"  # Python refuses to print the hugest
    text = repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
