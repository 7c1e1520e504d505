"""What decides how a foreign body is stored. Torch-free."""

from __future__ import annotations

from typing import Annotated, Final

from hcompress.compute.bit_shares import LEAST, MOST
from hcompress.strict.schema import Param

WIDTH: Final = 320
"""Pixels of a window: of most lines all of it."""
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
        "mean bits, in place of `bits`: weights that bear it best get fewer than others, 3 to 8",
        LEAST,
        MOST,
    ),
]
