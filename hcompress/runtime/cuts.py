"""Where a long line may be cut: between characters, and not between the parts of one.

八, 川 and 北 have gaps of their own, as wide as those beside them. Print has a pitch, or nearly: of
the gaps within reach those that lie on it are taken first. Then those between two shapes that
are too wide to be one character; then the widest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CALM: Final = 0.1
"""A column is a gap where its ink is within this of the least, towards what a quarter have."""
PITCHES: Final = (0.9, 1.35)
"""Of the ink's height: from one character to the next, in print of square characters."""
AROUND: Final = 5.0
"""Heights on either side of the reach in which a pitch is looked for."""
TEETH: Final = 6
"""Gaps at equal distances that make a pitch."""
MISSED: Final = 0.08
"""The ink that a pitch's gaps may have, as a share of a quarter of the columns'."""
BEARING: Final = 0.2
"""Of a pitch: how far a line's first and last ink may be from the ends of their characters."""
LONGEST: Final = 512
"""Characters of a line whose pitch is looked for from end to end."""
FINENESS: Final = 64
"""Parts of a height, and of a pitch, that are told apart: work must not grow with the pixels."""
NEAR: Final = 0.05
"""Of the ink's height: how far a gap may be from its place."""
INKED: Final = 0.35
"""Of the strongest row's contrast: what a row with ink has, and one with noise has not."""
LOWEST: Final = 4
"""Rows of ink below which there are no characters."""
WIDE: Final = 1.15
"""Of the ink's height: wider than any character."""
DEEP: Final = 0.12
"""Of the ink's height: half a gap that is as sure as any wider one."""


class Gaps:
    """The gaps of a line, h x w x 3, by columns."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self._ink = column_ink(image)
        self._height = _height(image)
        self._teeth = _whole_pitch(_level(self._ink), self._height)

    def cut(self, low: int, high: int) -> int:
        """A column in low..high to cut at, the middle of a gap."""
        start = max(0, low - int(AROUND * self._height))
        end = min(len(self._ink), high + 1 + int(AROUND * self._height))
        level = _level(self._ink[start:end])
        starts, ends = _runs(level <= CALM)
        here = (starts + ends) // 2 + start
        inside = (here >= low) & (here <= high)
        if not inside.any():
            return low + int(self._ink[low : high + 1].argmin())
        widths = ends - starts
        teeth = self._teeth if len(self._teeth) else start + _pitch(level, self._height)
        near = NEAR * self._height
        first, last = starts + start - near, ends + start + near
        on = inside & ((teeth[:, None] >= first) & (teeth[:, None] < last)).any(0)
        apart = inside & self._between_two(starts, ends, len(level))
        for kept in (on & apart, on, apart, inside):
            if kept.any():
                break
        best = np.where(kept, np.minimum(widths, 2 * DEEP * self._height), -1)
        return int(here[len(best) - 1 - int(best[::-1].argmax())])

    def _between_two(
        self, starts: NDArray[np.intp], ends: NDArray[np.intp], width: int
    ) -> NDArray[np.bool_]:
        """[gaps]: whether what is on both sides is too wide to be one character."""
        before = np.concatenate([[0], ends[:-1]])
        behind = np.concatenate([starts[1:], [width]])
        wide: NDArray[np.bool_] = behind - before > WIDE * self._height
        return wide


def column_ink(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """[w]: how far the darkest and the lightest of a column's pixels are apart."""
    apart = image.max(0).astype(np.int32) - image.min(0)
    total: NDArray[np.int32] = apart.sum(1, dtype=np.int32)
    return total


def _height(image: NDArray[np.uint8]) -> int:
    """Rows from the first with ink to the last."""
    contrast = image.max(1).astype(np.int32) - image.min(1)
    rows = contrast.sum(1, dtype=np.int32)
    inked = np.flatnonzero(rows >= max(1.0, INKED * float(rows.max())))
    return int(inked[-1] - inked[0]) + 1 if len(inked) else 0


def _level(ink: NDArray[np.int32]) -> Floats:
    """[w]: a column's ink from the least, 0, to what a quarter have, and all above it, 1."""
    least = float(ink.min())
    level: Floats = np.clip((ink - least) / max(float(np.quantile(ink, 0.75)) - least, 1.0), 0, 1)
    return level


def _runs(marks: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where stretches of marks begin, and end."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marks.astype(np.int8), [0]])))
    return edges[::2], edges[1::2]


def _whole_pitch(level: Floats, height: int) -> NDArray[np.intp]:
    """The gaps of a line that is a whole number of characters of one width; none if it is not."""
    inked = np.flatnonzero(level > CALM)
    if len(inked) < TEETH or height < LOWEST:
        return np.empty(0, np.intp)
    first, last = int(inked[0]), int(inked[-1]) + 1
    tried = []
    least, most = ((last - first) / (share * height) for share in PITCHES[::-1])
    for count in range(max(TEETH, math.ceil(least)), min(int(most) + 1, LONGEST) + 1):
        bearings = np.linspace(0, BEARING * (last - first) / count, 8)
        before, behind = bearings[:, None], bearings[None, :]
        step = (last + behind - first + before) / count
        places = (first - before)[..., None] + step[..., None] * np.arange(1, count)
        tried.append(np.rint(places).astype(np.intp).reshape(-1, count - 1))
    return _best(tried, level, height)


def _pitch(level: Floats, height: int) -> NDArray[np.intp]:
    """Gaps at equal distances, so many that it is no chance; none if there are not."""
    least, most = (share * height for share in PITCHES)
    if height < LOWEST:
        return np.empty(0, np.intp)
    tried = []
    for pitch in np.arange(least, most, max(0.5, height / FINENESS)):
        count = int((len(level) - 1) // pitch)
        if count >= TEETH:
            offsets = np.arange(0, pitch, max(1.0, pitch / FINENESS))[:, None]
            tried.append(np.rint(offsets + pitch * np.arange(count)).astype(np.intp))
    return _best(tried, level, height)


def _best(tried: list[NDArray[np.intp]], level: Floats, height: int) -> NDArray[np.intp]:
    """Of rows of places, the one that is deepest in gaps; none if each has too many on ink."""
    depth = _depth(level <= CALM, DEEP * height)
    best, teeth = 0.0, np.empty(0, np.intp)
    for places in tried:
        inside = np.clip(places, 0, len(depth) - 1)
        met = np.maximum(level[inside] - CALM, 0).mean(1)
        score = np.where(met <= MISSED, depth[inside].mean(1) - met, 0)
        if score.max() > best:
            best, teeth = float(score.max()), places[int(score.argmax())]
    return teeth


def _depth(calm: NDArray[np.bool_], most: float) -> Floats:
    """[w]: how far a column of a gap is from ink, up to ``most``, of it; 0 where there is ink."""
    places = np.arange(len(calm))
    inked = np.flatnonzero(~calm)
    if not len(inked):
        return np.ones(len(calm))
    right = np.searchsorted(inked, places)
    far = np.minimum(
        np.abs(places - inked[np.minimum(right, len(inked) - 1)]),
        np.abs(places - inked[np.maximum(right - 1, 0)]),
    )
    shallow: Floats = np.minimum(far / max(most, 1.0), 1.0)
    return shallow
