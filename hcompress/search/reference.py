"""The search in plain numpy: where there is no extension, and what the extension must equal.

N queries, V codes, K bits, k candidates. Ids count from 0 here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hcompress.search.answers import Found, Ranked

AT_ONCE = 1 << 21
"""Distances held at once: 8 MiB of them."""


def as_words(packed: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """[n, K/8] -> [n, K/64 rounded up], the missing bits 0."""
    padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    return np.ascontiguousarray(padded).view(np.uint64)


def nearest(codes: NDArray[np.uint64], queries: NDArray[np.uint64], kept: int) -> Found:
    """Words [V, w] and [N, w] -> the nearest codes of each query."""
    found = Found(
        np.empty((len(queries), kept), np.int64), np.empty((len(queries), kept), np.int32)
    )
    for rows, apart in _by_rows(codes, queries):
        found.ids[rows], found.distances[rows] = _lowest(apart, kept)
    return found


def rank(
    codes: NDArray[np.uint64],
    queries: NDArray[np.uint64],
    kept: int,
    weights: NDArray[np.float64],
) -> Ranked:
    """As `nearest`, with probabilities. weights [K + 1]: exp(-distance / temperature)."""
    shape = (len(queries), kept)
    ranked = Ranked(
        np.empty(shape, np.int64), np.empty(shape, np.int32), np.empty(shape, np.float32)
    )
    for rows, apart in _by_rows(codes, queries):
        ids, distances = _lowest(apart, kept)
        # Relative to the nearest, so that its own weight is 1 whatever the temperature.
        totals = np.array([weights[row - row.min()].sum() for row in apart])
        ranked.ids[rows], ranked.distances[rows] = ids, distances
        ranked.probabilities[rows] = weights[distances - distances[:, :1]] / totals[:, None]
    return ranked


def pack_signs(logits: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[N, K] -> [N, K/8]."""
    return np.packbits(logits >= 0, axis=1, bitorder="little")


def _by_rows(
    codes: NDArray[np.uint64], queries: NDArray[np.uint64]
) -> Iterator[tuple[slice, NDArray[np.int32]]]:
    """Some queries at a time: which they are, and their distances [n, V]."""
    step = max(1, AT_ONCE // len(codes))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        yield rows, bits_apart(queries[rows], codes)


def bits_apart(queries: NDArray[np.uint64], codes: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Words [n, w] and [V, w] -> bits that differ [n, V]."""
    total = np.zeros((len(queries), len(codes)), np.int32)
    for word in range(codes.shape[1]):
        total += np.bitwise_count(queries[:, word, None] ^ codes[None, :, word])
    return total


def _lowest(apart: NDArray[np.int32], kept: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Distances [n, V] -> the lowest's ids and values [n, kept], ties to the lowest id."""
    count = apart.shape[1]
    # Distance and id in one number: its order is the one wanted.
    keys = apart.astype(np.int64) * count + np.arange(count)
    if kept < count:
        keys = np.partition(keys, kept - 1, axis=1)[:, :kept]
    keys = np.sort(keys, axis=1)
    return keys % count, (keys // count).astype(np.int32)
