"""A stand-in with numpy until the native search is merged."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack_signs(bit_logits: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """[N, K] -> uint8 [N, K/8]."""
    return np.packbits(bit_logits >= 0, axis=1, bitorder="little")


class CodeIndex:
    """Nearest codes of packed uint8 [V, K/8]."""

    def __init__(self, packed: NDArray[np.uint8], readable_from: int = 0) -> None:
        self._codes = np.ascontiguousarray(packed[readable_from:])
        self._first = readable_from

    def _distances(self, queries: NDArray[np.uint8]) -> NDArray[np.int64]:
        words = self._codes.view(f"u{8 if self._codes.shape[1] % 8 == 0 else 1}")
        asked = np.ascontiguousarray(queries).view(words.dtype)
        return np.stack([np.bitwise_count(words ^ q).sum(1, dtype=np.int64) for q in asked])

    def nearest(
        self, queries: NDArray[np.uint8], k: int = 1, threads: int = 1
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """ids and distances [N, k]."""
        distances = self._distances(queries)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        return order + self._first, np.take_along_axis(distances, order, 1)

    def rank(
        self, queries: NDArray[np.uint8], k: int, temperature: float, threads: int = 1
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """ids and probabilities [N, k]."""
        distances = self._distances(queries)
        order = np.argsort(distances, axis=1, kind="stable")[:, :k]
        scaled = np.exp((distances.min(1, keepdims=True) - distances) / temperature)
        chances = scaled / scaled.sum(1, keepdims=True)
        return order + self._first, np.take_along_axis(chances, order, 1).astype("f4")
