"""Hamming distances between codes, and what they say of a codebook (Figure 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hcompress.search import CodeIndex, Found
from hcompress.search.reference import as_words, bits_apart

BLOCK = 128
"""Rows whose distances to all codes are held at once: some 20 MiB at 20,000 characters."""


def distances(queries: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Packed queries [n, K/8] to packed codes [V, K/8] -> bits that differ [n, V]."""
    return bits_apart(as_words(queries), as_words(codes))


def nearest_codes(codes: NDArray[np.uint8], count: int) -> Found:
    """The ``count`` nearest other codes of each packed code [V, K/8]; all where there are fewer."""
    kept = min(count, len(codes) - 1)
    found = CodeIndex(codes).nearest(codes, kept + 1)
    # A code is among its own nearest, unless as many others equal it: then the last is too many.
    own = found.ids == np.arange(len(codes))[:, None]
    own[~own.any(1), kept] = True
    return Found(*(array[~own].reshape(len(codes), kept) for array in found))


def mean_distance(codes: NDArray[np.uint8]) -> float:
    """Mean bits that differ, over all pairs of different characters; exact, from bit counts."""
    count = len(codes)
    if count < 2:
        return 0.0
    ones = np.unpackbits(codes, axis=1).sum(0, dtype=np.int64)
    return float((ones * (count - ones)).sum() * 2 / (count * (count - 1)))
