"""Dataclasses as JSON and TOML hold them: what `read.py` reads back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from hcompress.strict.schema import TAG, table_of


def plain(value: object) -> Any:
    """``value`` as JSON holds it: enums and paths as strings, tuples as lists, tables by key."""
    if isinstance(value, StrEnum | Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if not isinstance(value, type) and dataclasses.is_dataclass(value):
        table = table_of(type(value))
        own = {key: plain(getattr(value, entry.name)) for key, entry in table.by_key.items()}
        return own if table.tag is None else {TAG: table.tag, **own}
    return value
