"""Which side a trained recogniser's bit logits lean to, a character at a time.

V vocabulary, K bits, n looks of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hcompress.errors import NumericalError
from hcompress.heads.hamming.codebook import Bits

GRAIN: Final = 1 << 20
"""Bit logits count in steps of 2**-20: whole numbers add up to the same in any order, so that one
process and many make the same codes."""


def held(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Bit logits held to the margin of the hinge loss, which asks for no more."""
    return np.clip(logits, -1, 1).astype(np.float64)


@dataclass(frozen=True)
class SoftVotes:
    """What was counted so far."""

    bit_logits: Callable[[Tensor], Tensor]
    """Features [n, d] -> bit logits [n, K]."""
    sums: NDArray[np.int64]
    """[V, K]: bit logits, each held to -1...+1, in steps of 1/GRAIN."""
    seen: NDArray[np.int64]
    """[V]: looks at a character."""

    @classmethod
    def none(
        cls, vocabulary: int, code_length: int, bit_logits: Callable[[Tensor], Tensor]
    ) -> SoftVotes:
        sums = np.zeros((vocabulary, code_length), np.int64)
        return cls(bit_logits, sums, np.zeros(vocabulary, np.int64))

    @property
    def whole_numbers(self) -> tuple[NDArray[np.int64], ...]:
        """What adds up over processes."""
        return self.sums, self.seen

    def add(self, features: Tensor, ids: Tensor) -> None:
        """Count a batch in place: features [n, d] and their characters.

        Raises NumericalError for NaN.
        """
        logits, wanted = self.bit_logits(features).numpy(), ids.numpy()
        if np.isnan(logits).any():
            raise NumericalError("the recogniser's bit logits are NaN: there is no code to move to")
        np.add.at(self.sums, wanted, np.rint(held(logits) * GRAIN).astype(np.int64))
        np.add.at(self.seen, wanted, 1)


def moved_bits(votes: SoftVotes, old: Bits, old_weight: float) -> tuple[Bits, NDArray[np.float64]]:
    """Codes [V, K] of the sides leant to, and how clear each bit was, 0 to 1.

    The ``old`` code counts like ``old_weight`` looks that are sure of it. A character that was not
    seen keeps its code, and so does a bit that leans to no side.
    """
    leant = votes.sums / GRAIN + old_weight * np.where(old, 1.0, -1.0)
    bits = np.where((votes.seen == 0)[:, None] | (leant == 0), old, leant > 0)
    weight = np.maximum(votes.seen + old_weight, 1e-9)
    return bits, np.abs(leant) / weight[:, None]
