"""What decides how a foreign body is stored. Torch-free."""

from __future__ import annotations

from typing import Annotated, Final

from hcompress.errors import UsageError
from hcompress.strict.schema import Param

WIDTH: Final = 192
"""Pixels of a window: text rather than what pads a line."""
BATCH: Final = 16
"""Windows at once."""
SMALL: Final = 8192
"""Numbers of a weight below which fewer than 8 bits save next to nothing."""
FEWEST: Final = 24
"""Numbers of a vector below which FP16 saves less than its decoder costs."""
Bits = Annotated[int, Param("bits of a weight of the body; depthwise convolutions keep 8", 2, 8)]
Group = Annotated[int, Param("inputs that share a scale, or near it; at 8 bits a channel", 8, 4096)]
MeanBits = Annotated[
    float | None,
    Param(
        "mean bits: weights that bear it best get one less than `bits`; none do if not given", 1, 8
    ),
]


def check_mean(bits: int, mean_bits: float | None) -> None:
    """Raises UsageError if no weights of ``bits`` and one less have that mean."""
    if mean_bits is not None and not bits - 1 <= mean_bits <= bits:
        raise UsageError(
            f"mean_bits = {mean_bits:g}: between bits - 1 and bits, {bits - 1} and {bits}"
        )
