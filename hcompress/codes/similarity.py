"""How alike codes are, as the EMU paper's Fig. 7 shows it, in few numbers. V vocabulary, K bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hcompress.codes.distances import BLOCK, distances

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

STEPS: Final = 20
"""Of the histogram, from -1 to 1."""
PAIRS: Final = 20
"""The most alike that are named."""


def similarity_report(codes: NDArray[np.uint8], name: Callable[[int], str]) -> dict[str, Any]:
    """Of the off-diagonal of (1/K) c_i c_j over packed codes [V, K/8]: mean, spread, a histogram,
    and the pairs that are most alike."""
    count, length = len(codes), codes.shape[1] * 8
    counts = np.zeros(length + 1, np.int64)
    best: list[tuple[int, int, int]] = []
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        near = distances(codes[start:stop], codes[:stop])
        earlier = np.arange(stop) < np.arange(start, stop)[:, None]
        counts += np.bincount(near[earlier], minlength=length + 1)
        rows, columns = np.nonzero(earlier & (near <= _least(counts, PAIRS)))
        best += [
            (int(near[r, c]), int(c), int(r) + start) for r, c in zip(rows, columns, strict=True)
        ]
        best = sorted(best)[:PAIRS]
    pairs = int(counts.sum())
    if not pairs:
        return {"pairs": 0}
    alike = 1 - 2 * np.arange(length + 1) / length
    mean = float((alike * counts).sum() / pairs)
    edges = np.linspace(-1, 1, STEPS + 1)
    histogram, _ = np.histogram(alike, edges, weights=counts)
    return {
        "pairs": pairs,
        "mean": round(mean, 4),
        "deviation": round(float(np.sqrt(((alike - mean) ** 2 * counts).sum() / pairs)), 4),
        "greatest": round(1 - 2 * best[0][0] / length, 4),
        "histogram": {f"{low:.1f}": int(n) for low, n in zip(edges[:-1], histogram, strict=True)},
        "most_alike": [
            [name(one), name(other), round(1 - 2 * bits / length, 4)] for bits, one, other in best
        ],
    }


def _least(counts: NDArray[np.int64], wanted: int) -> int:
    """The distance within which there are that many pairs."""
    return int(np.searchsorted(np.cumsum(counts), min(wanted, int(counts.sum()))))
