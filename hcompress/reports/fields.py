"""A run's JSON, read key by key, with the file and the key in every error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from hcompress.errors import InputRefused, UsageError
from hcompress.sizes.strictjson import read_json

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


def read_fields(path: Path) -> Fields:
    """The JSON object in ``path``; raises InputRefused where it is missing or damaged."""
    try:
        return Fields(read_json(path), str(path))
    except UsageError:
        raise InputRefused(f"{path}: missing: not a run's folder, or a run cut short") from None
