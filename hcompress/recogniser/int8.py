"""Numbers as int8: one scale an output channel, symmetric, so that zero stays zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

LEVELS: Final = 127
"""The largest whole number used; -128 is left out, so that signs can be turned."""
SMALLEST: Final = 2.0**-24
"""The least positive number FP16 holds."""
MAX_ABS: Final[tuple[float, ...]] = (1.0,)
"""The one scale with which nothing is clipped."""
SEARCHED: Final[tuple[float, ...]] = (1.0, *(1 - step / 128 for step in range(1, 65)))
"""Shares of a channel's largest weight that may become its largest number."""
SUFFIX: Final = ".scale"


class Quantised(NamedTuple):
    """A weight as it is stored."""

    values: Tensor
    """int8 [out, ...]."""
    scale: Tensor
    """float32 [out], positive, each one a number that FP16 holds."""

    def floats(self) -> Tensor:
        """float32 [out, ...]; exact, being eight bits times eleven."""
        return self.values.float() * _per_channel(self.scale, self.values)


def quantised(
    weight: Tensor, importance: Tensor | None = None, ratios: Sequence[float] = SEARCHED
) -> Quantised:
    """weight [out, in] in whole numbers of a scale a channel, chosen for the least error.

    The error is the squared difference, each input's weighted with ``importance`` [in]: its mean
    square, so that what counts is the output. Each of ``ratios`` of a channel's largest weight is
    tried as its largest number; ties go to the first. A weight that is not clipped moves by half
    a scale at most. A scale may be infinite where a weight is beyond 127 times FP16's range.
    """
    weight = weight.float()
    largest = weight.abs().amax(1)
    best = scale = fp16_above(largest * ratios[0] / LEVELS)
    least = _error(weight, scale, importance)
    for ratio in ratios[1:]:
        scale = fp16_above(largest * ratio / LEVELS)
        error = _error(weight, scale, importance)
        best = torch.where(error < least, scale, best)
        least = torch.minimum(error, least)
    return Quantised(_rounded(weight, best).to(torch.int8), best)


def fp16_above(values: Tensor) -> Tensor:
    """The nearest FP16 numbers that are not below, as float32; never zero."""
    half = values.clamp(min=SMALLEST).half()
    # The pattern of the next larger positive number is the next whole number.
    above = (half.view(torch.int16) + 1).view(torch.float16)
    return torch.where(half.float() < values, above, half).float()


def _rounded(weight: Tensor, scale: Tensor) -> Tensor:
    return (weight / scale[:, None]).round().clamp(-LEVELS, LEVELS)


def _error(weight: Tensor, scale: Tensor, importance: Tensor | None) -> Tensor:
    """[out]."""
    moved = (_rounded(weight, scale) * scale[:, None] - weight).square()
    return moved.sum(1) if importance is None else moved @ importance.float()


def _per_channel(scale: Tensor, values: Tensor) -> Tensor:
    """[out, 1, ...]."""
    return scale.reshape(-1, *[1] * (values.dim() - 1))


def stored(floats: Mapping[str, Tensor], packed: Mapping[str, Quantised]) -> dict[str, Tensor]:
    """A model's state as a file has it: int8, and each one's scale behind it."""
    return dict(_stored(floats, packed))


def _stored(
    floats: Mapping[str, Tensor], packed: Mapping[str, Quantised]
) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in floats.items():
        if name in packed:
            yield name, packed[name].values
            yield name + SUFFIX, packed[name].scale
        else:
            yield name, tensor
