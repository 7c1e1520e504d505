"""The choice of the shared layer, named apart so that stages need no torch."""

from __future__ import annotations

from enum import StrEnum


class SharedFrom(StrEnum):
    """Which layer every layer becomes."""

    FIRST = "first"
    MIDDLE = "middle"
    LAST = "last"
    MEAN = "mean"
