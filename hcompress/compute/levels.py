"""What whole numbers stand for: evenly spaced levels, or levels that lie closer near zero.

Weights of a network are mostly small, a few are large. At the same bits, levels n|n|^(p-1) with p
from 1.25 to 1.75 are off by a fifth to a half less than even ones (of the square; PP-OCRv6's body,
reports/LOG.md). Pure numpy.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

EVEN: Final = 1.0
CURVES: Final = (EVEN, 1.25, 1.5, 1.75)
"""Powers that are tried."""


class Levels(NamedTuple):
    """The values of the numbers from -2^(bits-1) to 2^(bits-1) - 1."""

    bits: int
    table: NDArray[np.float16]
    """[2^bits], rising. The greatest number stands for itself, whatever the curve."""
    even: bool

    @property
    def ends(self) -> tuple[float, float]:
        """The least, and the greatest."""
        return float(self.table[0]), float(self.table[-1])

    def near(self, wanted: Floats) -> Floats:
        """The level nearest to each, as float32."""
        if self.even:
            made: Floats = np.clip(np.rint(wanted), *self.ends)
            return made
        table = self.table.astype(np.float32)
        return table[np.searchsorted((table[1:] + table[:-1]) / 2, wanted)]

    def numbers(self, values: Floats) -> NDArray[np.int8]:
        """Whose levels those values are."""
        if self.even:
            return values.astype(np.int8)
        places = np.searchsorted(self.table.astype(np.float32), values)
        made: NDArray[np.int8] = (places - 2 ** (self.bits - 1)).astype(np.int8)
        return made


@cache
def levels(bits: int, curve: float = EVEN) -> Levels:
    """sign(n) |n|^curve, as FP16 holds it, the greatest as great as it is."""
    half = 2 ** (bits - 1)
    numbers = np.arange(-half, half)
    most = max(half - 1, 1)
    # Rounded to FP16, a power's last bit is the same whoever computed it.
    table = np.sign(numbers) * most * (np.abs(numbers) / most) ** curve
    return Levels(bits, table.astype(np.float16), curve == EVEN)
