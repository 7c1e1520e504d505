"""Numbers as int8: one scale an output channel, symmetric, so that zero stays zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

LEVELS: Final = 127
"""The largest whole number used: seven bits. -128 is left out, so that signs can be turned."""
SCALE_BITS: Final = 4
"""Significant bits of a scale: with a number's seven FP16's eleven, so that every weight is the
same in FP16 and in float32. A finer scale would be up to an eighth smaller."""
SMALLEST: Final = 2.0**-24
"""The least positive number FP16 holds."""
MAX_ABS: Final[tuple[float, ...]] = (1.0,)
"""The one scale with which nothing is clipped."""
SEARCHED: Final[tuple[float, ...]] = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)
"""Shares of a channel's largest weight that may become its largest number."""


class Quantised(NamedTuple):
    """A weight as it is stored."""

    values: Tensor
    """int8 [out, ...]."""
    scale: Tensor
    """float32 [out], positive."""

    def floats(self) -> Tensor:
        """float32 [out, ...]: what the numbers stand for."""
        return self.values.float() * _per_channel(self.scale, self.values)


def quantised(
    weight: Tensor, importance: Tensor | None = None, ratios: Sequence[float] = SEARCHED
) -> Quantised:
    """weight [out, in] in whole numbers of a scale a channel, chosen for the least error.

    The error is the squared difference, each input's weighted with ``importance`` [in]: its mean
    square, so that what counts is the output. Each of ``ratios`` of a channel's largest weight is
    tried as its largest number; ties go to the first. A weight that is not clipped moves by half
    a scale at most. What is not finite is not looked for.
    """
    weight = weight.float()
    largest = weight.abs().amax(1)
    best = scale = scale_above(largest * ratios[0] / LEVELS)
    least = _error(weight, scale, importance)
    for ratio in ratios[1:]:
        scale = scale_above(largest * ratio / LEVELS)
        error = _error(weight, scale, importance)
        best = torch.where(error < least, scale, best)
        least = torch.minimum(error, least)
    return Quantised(_rounded(weight, best).to(torch.int8), best)


def scale_above(values: Tensor) -> Tensor:
    """The nearest scales that are not below ``values``; never zero."""
    _, exponent = torch.frexp(values)
    step = torch.ldexp(torch.ones_like(values), exponent - SCALE_BITS).clamp(min=SMALLEST)
    return ((values / step).ceil() * step).clamp(min=SMALLEST)


def _rounded(weight: Tensor, scale: Tensor) -> Tensor:
    return (weight / scale[:, None]).round().clamp(-LEVELS, LEVELS)


def _error(weight: Tensor, scale: Tensor, importance: Tensor | None) -> Tensor:
    """[out]."""
    moved = (_rounded(weight, scale) * scale[:, None] - weight).square()
    return moved.sum(1) if importance is None else moved @ importance.float()


def _per_channel(scale: Tensor, values: Tensor) -> Tensor:
    """[out, 1, ...]."""
    return scale.reshape(-1, *[1] * (values.dim() - 1))
