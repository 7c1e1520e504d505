"""From votes, chance or softmax columns to one distinct code per character.

V vocabulary, K bits. Everything here is a pure function of its arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hcompress.codes.votes import Votes
from hcompress.errors import InputRefused

if TYPE_CHECKING:
    from hcompress.codes.apart import NearCollision

Bits = NDArray[np.bool_]


@dataclass(frozen=True)
class Repairs:
    """What had to be resolved, and how often. Ids are vocabulary ids."""

    tied_bits: int
    unseen: tuple[int, ...]
    """Characters without a feature: coded by their softmax column."""
    never_right: tuple[int, ...]
    """Characters the teacher never read right: their features say little, so likewise."""
    collisions: tuple[tuple[int, int], ...]
    """(changed, kept): pairs that had equal codes."""
    near: tuple[NearCollision, ...] = ()
    """Codes that were too close to an earlier one."""


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


def projected(columns: NDArray[np.float32], projection: NDArray[np.float32]) -> NDArray[np.float64]:
    """Psi^T w of each softmax column, whose signs are bits: [V, d], [d, K] -> [V, K].

    Summed in float64 in a fixed order, so that threads can't change a bit.
    """
    return np.asarray(
        np.einsum("vd,dk->vk", columns.astype(np.float64), projection.astype(np.float64))
    )


def random_bits(vocabulary: int, code_length: int, seed: int) -> Bits:
    """Each bit 0 or 1 with equal probability: the control of the paper's Table 3."""
    return np.random.default_rng(seed).integers(0, 2, (vocabulary, code_length)).astype(np.bool_)


def separate(
    bits: Bits, margins: NDArray[np.float64], first: int = 0
) -> tuple[Bits, tuple[tuple[int, int], ...]]:
    """Make equal codes differ; returns the codes and the (changed, kept) pairs.

    The lowest id keeps its code. Another flips the bits with the least ``margins``: some
    K/64 of them, so that one wrong bit does not turn one character into the other; more, where
    that code is taken too. Codes before ``first`` are in use and stay as they are, equal ones
    too. Raises InputRefused where there are more characters than codes.
    """
    count, length = bits.shape
    if length < 63 and count > 2**length:
        raise InputRefused(
            f"{length} bits make {2**length} codes, too few for {count} characters;"
            " raise code_length"
        )
    taken: dict[bytes, int] = {}
    changed = bits.copy()
    pairs: list[tuple[int, int]] = []
    for index in range(count):
        key = changed[index].tobytes()
        if index >= first and key in taken:
            pairs.append((index, taken[key]))
            changed[index] = _free_code(changed[index], margins[index], taken)
        taken[changed[index].tobytes()] = index
    return changed, tuple(pairs)


def _free_code(code: Bits, margins: NDArray[np.float64], taken: dict[bytes, int]) -> Bits:
    """The code with its least sure bits flipped, counting up through them until one is free."""
    order = np.argsort(margins, kind="stable")
    flips = max(1, len(code) // 64)
    start = 2**flips - 1
    number = start
    while True:
        candidate = code.copy()
        chosen = [order[place] for place in range(len(code)) if number >> place & 1]
        candidate[chosen] ^= True
        if candidate.tobytes() not in taken:
            return candidate
        number = (number + 1) % 2 ** len(code)


def pack(bits: Bits) -> NDArray[np.uint8]:
    """[V, K] -> uint8 [V, K/8]: bit j is bit j % 8, lowest first, of byte j // 8."""
    return np.packbits(bits, axis=1, bitorder="little")


def unpack(codes: NDArray[np.uint8]) -> Bits:
    """The inverse of `pack`."""
    return np.unpackbits(codes, axis=1, bitorder="little").astype(np.bool_)
