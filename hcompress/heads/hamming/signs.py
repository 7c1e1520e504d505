"""A recogniser's codebook as its head sees it: packed in the state, unpacked when asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class Signs:
    """The codes as signs [V, K], float32, unpacked once for as long as the codebook stays."""

    def __init__(self, packed: Callable[[], Tensor]) -> None:
        self._packed = packed
        self._seen: tuple[Tensor, int] | None = None
        self._signs: Tensor | None = None

    def __call__(self) -> Tensor:
        packed = self._packed()
        if packed.is_inference():  # counts no versions: it may have been written to
            return unpacked(packed)
        seen = (packed, packed._version)
        if self._signs is None or self._seen is None or not _same(seen, self._seen):
            with torch.inference_mode(False):  # training may take them up later
                self._signs, self._seen = unpacked(packed), seen
        return self._signs


def _same(one: tuple[Tensor, int], other: tuple[Tensor, int]) -> bool:
    return one[0] is other[0] and one[1] == other[1]


def unpacked(packed: Tensor) -> Tensor:
    """uint8 [V, K/8], the lowest bit of a byte first -> -1 and +1, float32 [V, K]."""
    shifts = torch.arange(8, dtype=torch.uint8, device=packed.device)
    bits = (packed[:, :, None] >> shifts) & 1
    return bits.flatten(1).float() * 2 - 1
