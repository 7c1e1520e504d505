"""Hamming distances between codes, and what they say of a codebook (Figure 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 128
"""Rows whose distances to all codes are held at once: some 20 MiB at 20,000 characters."""


def distances(queries: NDArray[np.uint8], codes: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Packed queries [n, K/8] to packed codes [V, K/8] -> bits that differ [n, V]."""
    total = np.zeros((len(queries), len(codes)), np.int32)
    wide_queries, wide_codes = _as_words(queries), _as_words(codes)
    for word in range(wide_codes.shape[1]):
        total += np.bitwise_count(wide_queries[:, word, None] ^ wide_codes[None, :, word])
    return total


def _as_words(packed: NDArray[np.uint8]) -> NDArray[np.uint64]:
    missing = -packed.shape[1] % 8
    padded = np.pad(packed, ((0, 0), (0, missing)))
    return np.ascontiguousarray(padded).view(np.uint64)


@dataclass(frozen=True)
class Nearest:
    """Every character's nearest others."""

    ids: NDArray[np.int64]
    """[V, n], nearest first, ties to the lowest id, itself left out."""
    distances: NDArray[np.int32]
    """[V, n]."""


def nearest_codes(codes: NDArray[np.uint8], count: int) -> Nearest:
    """The ``count`` nearest other codes of each packed code [V, K/8]."""
    kept = min(count, len(codes) - 1)
    ids = np.empty((len(codes), kept), np.int64)
    found = np.empty((len(codes), kept), np.int32)
    for start in range(0, len(codes), BLOCK):
        rows = slice(start, min(start + BLOCK, len(codes)))
        near = distances(codes[rows], codes)
        near[np.arange(near.shape[0]), np.arange(rows.start, rows.stop)] = np.iinfo(np.int32).max
        # Distance and id in one number: sorting by it breaks ties to the lowest id.
        keys = near.astype(np.int64) * len(codes) + np.arange(len(codes))
        best = np.sort(np.partition(keys, kept - 1, axis=1)[:, :kept], axis=1) if kept else keys
        ids[rows], found[rows] = best[:, :kept] % len(codes), best[:, :kept] // len(codes)
    return Nearest(ids, found)


def mean_distance(codes: NDArray[np.uint8]) -> float:
    """Mean bits that differ, over all pairs of different characters; exact, from bit counts."""
    count = len(codes)
    if count < 2:
        return 0.0
    ones = np.unpackbits(codes, axis=1).sum(0, dtype=np.int64)
    return float((ones * (count - ones)).sum() * 2 / (count * (count - 1)))
