"""Bytes for what runs through a network: which 256 numbers a value is rounded to. Pure numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MOST: Final = 255
SHARES: Final = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.42, 0.35, 0.3)
"""Of the least and of the greatest that was seen, what may become the end of the grid."""


class Grid(NamedTuple):
    """A byte q stands for scale · (q - zero)."""

    scale: float
    """float32, positive."""
    zero: int
    """0 to 255."""

    def near(self, values: Floats) -> Floats:
        """Each value as it will be."""
        places = np.clip(np.rint(values / np.float32(self.scale)) + self.zero, 0, MOST)
        return np.asarray((places - self.zero) * np.float32(self.scale), np.float32)


def fitted(sample: Floats, low: float, high: float) -> Grid:
    """The grid with the least squared error over a sample of what lies between low and high.

    Nought is always one of its numbers: what pads an image stays exact.
    """
    best, least = grid(low, high), np.inf
    lows = SHARES if low < 0 else (0.0,)
    highs = SHARES if high > 0 else (0.0,)
    for below in lows:
        for above in highs:
            tried = grid(min(0.0, below * low), max(0.0, above * high))
            error = float(np.square(tried.near(sample) - sample).sum())
            if error < least:
                best, least = tried, error
    return best


def grid(low: float, high: float) -> Grid:
    """The one from ``low`` (0 or less) to ``high`` (0 or more)."""
    scale = max((high - low) / MOST, 1e-8)
    return Grid(float(np.float32(scale)), int(np.clip(round(-low / scale), 0, MOST)))
