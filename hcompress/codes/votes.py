"""LSH codes by majority vote (Eq. 3-4). V vocabulary, d features, K bits, n features of a batch.

Votes are whole numbers added up, so their sum is exact in any order: streamed over any number
of images, on one process or many, it comes out the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcompress.codes.repair import Repairs
from hcompress.heads.hamming.codebook import Bits


def projected(columns: NDArray[np.float32], projection: NDArray[np.float32]) -> NDArray[np.float64]:
    """Psi^T w of each softmax column, whose signs are bits: [V, d], [d, K] -> [V, K].

    Summed in float64 in a fixed order, so that threads can't change a bit.
    """
    return np.asarray(
        np.einsum("vd,dk->vk", columns.astype(np.float64), projection.astype(np.float64))
    )


def random_projection(width: int, code_length: int, seed: int) -> NDArray[np.float32]:
    """Psi [d, K]: standard normal, the same for the same seed everywhere."""
    return np.random.default_rng(seed).standard_normal((width, code_length), dtype=np.float32)


@dataclass(frozen=True)
class Votes:
    """What was counted so far (Eq. 3)."""

    projection: NDArray[np.float32]
    """Psi [d, K]."""
    answers: Callable[[Tensor], Tensor]
    """Features [n, d] -> the ids [n] that the teacher reads."""
    sums: NDArray[np.int64]
    """[V, K]: features with a bit at +1 minus features with it at -1."""
    seen: NDArray[np.int64]
    """[V]: features of a character."""
    right: NDArray[np.int64]
    """[V]: of these, how many the teacher read right."""

    @classmethod
    def none(
        cls,
        vocabulary: int,
        projection: NDArray[np.float32],
        answers: Callable[[Tensor], Tensor],
    ) -> Votes:
        counts = np.zeros(vocabulary, np.int64)
        sums = np.zeros((vocabulary, projection.shape[1]), np.int64)
        return cls(projection, answers, sums, counts, counts.copy())

    @property
    def whole_numbers(self) -> tuple[NDArray[np.int64], ...]:
        """What adds up over processes."""
        return self.sums, self.seen, self.right

    def add(self, features: Tensor, ids: Tensor) -> None:
        """Count a batch: features [n, d] and their characters [n]."""
        right = self.answers(features) == ids
        sides = features @ torch.from_numpy(self.projection)
        self.count(sides.numpy(), ids.numpy(), right.numpy())

    def count(
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


def voted_bits(
    votes: Votes, fallback: NDArray[np.float64]
) -> tuple[Bits, NDArray[np.float64], Repairs]:
    """Eq. 4, with the signs of ``fallback`` [V, K] where votes say nothing; collisions are not yet
    resolved. Also how sure each bit is, beside the others of its character.

    A tie, where Eq. 4 would give 0 by the direction of its inequality, takes the fallback's bit.
    """
    unseen = votes.seen == 0
    never_right = ~unseen & (votes.right == 0)
    silent = (unseen | never_right)[:, None]
    ties = (votes.sums == 0) & ~silent
    bits = np.where(silent | ties, fallback >= 0, votes.sums > 0)
    sure = np.where(silent, np.abs(fallback), votes.margins())
    repairs = Repairs(
        tied_bits=int(ties.sum()),
        unseen=tuple(np.flatnonzero(unseen).tolist()),
        never_right=tuple(np.flatnonzero(never_right).tolist()),
        collisions=(),
    )
    return bits, sure, repairs


def random_bits(vocabulary: int, code_length: int, seed: int) -> Bits:
    """Each bit 0 or 1 with equal probability: the control of the paper's Table 3."""
    return np.random.default_rng(seed).integers(0, 2, (vocabulary, code_length)).astype(np.bool_)
