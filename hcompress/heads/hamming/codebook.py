"""Codes as bits and as bytes: V x K/8, the projection beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Codebook:
    """Every character's code, and the projection that made them."""

    codes: NDArray[np.uint8]
    """[V, K/8], packed."""
    projection: NDArray[np.float32]
    """Psi [d, K]: where the classifier's W starts from."""

    @property
    def code_length(self) -> int:
        return int(self.codes.shape[1]) * 8


def pack(bits: Bits) -> NDArray[np.uint8]:
    """[V, K] -> uint8 [V, K/8]: bit j is bit j % 8, lowest first, of byte j // 8."""
    return np.packbits(bits, axis=1, bitorder="little")


def unpack(codes: NDArray[np.uint8]) -> Bits:
    """The inverse of `pack`."""
    return np.unpackbits(codes, axis=1, bitorder="little").astype(np.bool_)
