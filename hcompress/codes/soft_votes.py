"""Which side a trained recogniser's bit logits lean to, a character at a time.

V vocabulary, K bits, n looks of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hcompress.errors import NumericalError
from hcompress.heads.hamming.codebook import Bits

GRAIN: Final = 1 << 20
"""Bit logits count in steps of 2**-20: whole numbers add up to the same in any order, so that one
process and many make the same codes."""


def held(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Bit logits held to the margin of the hinge loss, which asks for no more."""
    return np.clip(logits, -1, 1).astype(np.float64)


@dataclass(frozen=True)
class Leanings:
    """What was counted so far."""

    sums: NDArray[np.int64]
    """[V, K]: bit logits, each held to -1...+1, in steps of 1/GRAIN."""
    seen: NDArray[np.int64]
    """[V]: looks at a character."""

    @classmethod
    def none(cls, vocabulary: int, code_length: int) -> Leanings:
        return cls(np.zeros((vocabulary, code_length), np.int64), np.zeros(vocabulary, np.int64))

    def add(self, logits: NDArray[np.float32], ids: NDArray[np.int64]) -> None:
        """Count a batch in place: bit logits [n, K] and their characters.

        Raises NumericalError for NaN.
        """
        if np.isnan(logits).any():
            raise NumericalError("the recogniser's bit logits are NaN: there is no code to move to")
        np.add.at(self.sums, ids, np.rint(held(logits) * GRAIN).astype(np.int64))
        np.add.at(self.seen, ids, 1)


def moved_bits(
    leanings: Leanings, old: Bits, old_weight: float
) -> tuple[Bits, NDArray[np.float64]]:
    """Codes [V, K] of the sides leant to, and how clear each bit was, 0 to 1.

    The ``old`` code counts like ``old_weight`` looks that are sure of it. A character that was not
    seen keeps its code, and so does a bit that leans to no side.
    """
    leant = leanings.sums / GRAIN + old_weight * np.where(old, 1.0, -1.0)
    bits = np.where((leanings.seen == 0)[:, None] | (leant == 0), old, leant > 0)
    weight = np.maximum(leanings.seen + old_weight, 1e-9)
    return bits, np.abs(leant) / weight[:, None]
