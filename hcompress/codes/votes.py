"""LSH codes by majority vote (Eq. 3-4). V vocabulary, d features, K bits, n features of a batch.

Votes are whole numbers added up, so their sum is exact in any order: streamed over any number
of images, on one process or many, it comes out the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def random_projection(width: int, code_length: int, seed: int) -> NDArray[np.float32]:
    """Psi [d, K]: standard normal, the same for the same seed everywhere."""
    return np.random.default_rng(seed).standard_normal((width, code_length), dtype=np.float32)


@dataclass(frozen=True)
class Votes:
    """What was counted so far."""

    sums: NDArray[np.int64]
    """[V, K]: features with a bit at +1 minus features with it at -1."""
    seen: NDArray[np.int64]
    """[V]: features of a character."""
    right: NDArray[np.int64]
    """[V]: of these, how many the teacher read right."""

    @classmethod
    def none(cls, vocabulary: int, code_length: int) -> Votes:
        counts = np.zeros(vocabulary, np.int64)
        return cls(np.zeros((vocabulary, code_length), np.int64), counts, counts.copy())

    def add(
        self, projected: NDArray[np.float32], ids: NDArray[np.int64], right: NDArray[np.bool_]
    ) -> None:
        """Count a batch in place: projected features [n, K], their characters, read right or not.

        A projection of exactly zero counts as +1, as everywhere.
        """
        signs = np.where(projected >= 0, 1, -1).astype(np.int64)
        np.add.at(self.sums, ids, signs)
        np.add.at(self.seen, ids, 1)
        np.add.at(self.right, ids, right.astype(np.int64))

    def margins(self) -> NDArray[np.float64]:
        """[V, K]: how clear each bit's vote was, 0 for a tie to 1 for unanimous; 0 if unseen."""
        return np.abs(self.sums) / np.maximum(1, self.seen)[:, None]
