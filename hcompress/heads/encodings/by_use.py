"""Whole numbers of more bits for classes that are answered more.

A text is made of a few hundred classes, a charset of thousands. What rounding adds to a class's
scores matters where the class is in question: as often as the teacher gives it a share of its
answer. A bit more makes the square of that error a quarter, so a class that is in question four
times as often has earned one. Pure numpy. V classes, d features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hcompress.heads.encodings.fit import fit_ints
from hcompress.onnx_writer.merged import Merged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.onnx_writer.packed import Packed

    Floats = NDArray[np.float32]

LEVELS: Final = (2, 3, 4, 5, 6, 8)
"""Bits that a class can have."""
NEVER: Final = 1e-3
"""What a class counts as that no frame had in question: it is in the charset."""


def fit_by_use(
    weight: Floats, moment: NDArray[Any], shares: NDArray[np.float64], mean_bits: float
) -> Packed:
    """Rows [V, d] by their shares [V] of all answers, in ``mean_bits`` a number on the average."""
    bits = bits_by_use(shares, mean_bits)
    made: Packed | None = None
    left = np.zeros(len(bits), np.bool_)
    for level in LEVELS:
        mine = bits == level
        if not mine.any():
            continue
        fitted = fit_ints(weight[mine], moment, level)
        left |= mine
        # The classes so far, and among them those of this level, which are the rarer kind.
        made = fitted if made is None else Merged(fitted, made, mine[left])
    assert made is not None
    return made


def bits_by_use(shares: NDArray[np.float64], mean_bits: float) -> NDArray[np.intp]:
    """Bits of each class [V]: the nearest level to half of its share's binary logarithm and a
    constant, the one with which they come to ``mean_bits`` on the average.

    Many classes have the same share: of those that the last of the bits do not reach for, the
    first have them.
    """
    wanted = 0.5 * np.log2(np.maximum(shares, NEVER))
    levels = np.array(LEVELS)

    def at(constant: float) -> NDArray[np.intp]:
        found = np.abs((wanted + constant)[:, None] - levels).argmin(1)
        return np.asarray(levels[found], np.intp)

    low, high = LEVELS[0] - float(wanted.max()), LEVELS[-1] - float(wanted.min())
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle).mean() <= mean_bits else (low, middle)
    bits, more = at(low), at(high) - at(low)
    by_share = np.argsort(-shares, kind="stable")
    reached = np.cumsum(more[by_share]) <= mean_bits * len(bits) - bits.sum()
    bits[by_share[reached]] += more[by_share[reached]]
    return bits
