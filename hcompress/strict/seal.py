"""A seal over JSON of ours that is taken up again: what differs by a byte is made anew."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from hcompress.errors import InputRefused
from hcompress.strict.files import shown
from hcompress.strict.json import recall
from hcompress.strict.read import read

T = TypeVar("T")
SEAL: Final = "seal"


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """``value``, and the SHA-256 of its text beside it."""
    return {**value, SEAL: _digest(value)}


def recall_sealed(kind: type[T], path: Path) -> T | None:
    """A sealed file as a ``kind``, without its seal; None if it is missing, damaged or unsealed.

    Keys that the ``kind`` lacks are passed over.
    """
    raw = recall(dict[str, Any], path)
    if raw is None or SEAL not in raw:
        return None
    with contextlib.suppress(InputRefused):
        return read(kind, unsealed(raw, shown(path)), shown(path), only_known=False)
    return None


def unsealed(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    """``value`` without its seal, if it has one. Raises InputRefused if that is broken."""
    rest = {key: entry for key, entry in value.items() if key != SEAL}
    if SEAL in value and value[SEAL] != _digest(rest):
        raise InputRefused(f"{where}: changed since it was written: make it again")
    return rest


def _digest(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
