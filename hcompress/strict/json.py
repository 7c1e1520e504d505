"""JSON from outside: no duplicate keys, no NaN or infinity, no depth or digit bombs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from hcompress.errors import InputRefused, UsageError
from hcompress.strict.files import quoted, read_small, shown

_Kind = TypeVar("_Kind")


class Fields:
    """A JSON object. Every reader raises InputRefused where the value is not what it must be."""

    def __init__(self, raw: object, where: str) -> None:
        if not isinstance(raw, dict):
            raise InputRefused(f"{where}: not an object: remove it and run again")
        self.raw: Mapping[str, Any] = raw
        self.where = where

    def text(self, key: str, default: str | None = None) -> str:
        return self._read(key, str, default)

    def whole(self, key: str, default: int | None = None) -> int:
        return self._read(key, int, default)

    def maybe_whole(self, key: str) -> int | None:
        return None if self.raw.get(key) is None else self.whole(key)

    def number(self, key: str) -> float:
        """A finite number, whole or not."""
        value: Any = self.raw.get(key)
        if type(value) not in (int, float) or not math.isfinite(value):
            raise InputRefused(f"{self.where}: {key}: must be a finite number")
        return float(value)

    def maybe_number(self, key: str) -> float | None:
        return None if self.raw.get(key) is None else self.number(key)

    def table(self, key: str) -> Fields:
        """The object under ``key``; an empty one where there is none."""
        return Fields(self._read(key, dict, {}), f"{self.where}: {key}")

    def tables(self, key: str) -> list[Fields]:
        """The list of objects under ``key``; empty where there is none."""
        return [Fields(entry, f"{self.where}: {key}") for entry in self._read(key, list, [])]

    def _read(self, key: str, kind: type[_Kind], default: _Kind | None) -> _Kind:
        value = self.raw.get(key, default)
        if type(value) is not kind:
            raise InputRefused(f"{self.where}: {key}: must be of type {kind.__name__}")
        return value


MAX_FILE_BYTES = 64 << 20


def strict_json(data: bytes | str, where: str) -> Any:
    """Parse JSON. ``where`` names the file (and place) in the line of an InputRefused."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_short,
        )
    except RecursionError:
        raise InputRefused(f"{where}: JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise InputRefused(f"{where}: is not UTF-8 text") from None
    except ValueError as error:  # JSONDecodeError too, and integers of absurd length
        raise InputRefused(f"{where}: is not strict JSON: {_first_line(error)}") from None


def read_json(path: Path, limit: int = MAX_FILE_BYTES) -> Any:
    """Parse a whole JSON file. Raises UsageError (absent) and InputRefused (anything else)."""
    return strict_json(read_small(path, limit), shown(path))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {quoted(key)} stands there twice")
            seen.add(key)
    return result


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is out of range")
    return value


def _short(text: str) -> int:
    value = int(text)
    if value.bit_length() > 64:  # larger than a float, it would end whoever computes with it
        raise ValueError(f"{text[:20]}… of {len(text)} digits is out of range")
    return value


def _first_line(error: ValueError) -> str:
    return quoted(str(error).splitlines()[0], 200)[1:-1] if str(error) else "malformed"


def read_fields(path: Path) -> Fields:
    """The JSON object in ``path``; raises InputRefused where it is missing or damaged."""
    try:
        return Fields(read_json(path), str(path))
    except UsageError:
        raise InputRefused(f"{path}: missing: not a run's folder, or a run cut short") from None
