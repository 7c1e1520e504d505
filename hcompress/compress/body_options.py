"""What decides how a foreign body is stored. Torch-free."""

from __future__ import annotations

from typing import Annotated, Final

from hcompress.strict.schema import Param

WIDTH: Final = 192
"""Pixels of a window: text rather than what pads a line."""
Bits = Annotated[int, Param("bits of a weight of the body; depthwise convolutions keep 8", 2, 8)]
Group = Annotated[int, Param("inputs that share a scale, or near it; at 8 bits a channel", 8, 4096)]
