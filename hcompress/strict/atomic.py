"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any, Final

from hcompress.errors import InputRefused, UsageError

_JSON_LIMIT: Final = 1 << 30
"""Bytes a JSON file of a run may have: the readings of a million lines are a tenth of it."""


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` so that ``path`` holds the old text or all of the new."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """As `write_json`, for text."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync(path.parent)


def read_json(path: Path) -> Any:
    """A JSON file of ours; None where it is missing or damaged: the caller starts anew."""
    from hcompress.strict.json import read_json as read_strictly

    with contextlib.suppress(UsageError, InputRefused):
        return read_strictly(path, _JSON_LIMIT)
    return None


def sync(path: Path) -> None:
    """fsync a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside, flush, rename: the name holds the whole file or what it held before."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
