"""Codes that are distinct but too close: found, counted and moved apart.

V vocabulary, K bits. Pure functions of their arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hcompress.codes.distances import BLOCK, distances
from hcompress.errors import InputRefused
from hcompress.heads.hamming.codebook import Bits, pack


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


MIN_DISTANCE = 1 / 64
"""Share of the bits by which codes are kept apart where nothing else is asked for."""
PAIRS = 50
"""Pairs that a report names."""


class NearCollision(NamedTuple):
    """A code that lay too close to an earlier one. Ids are vocabulary ids."""

    changed: int
    kept: int
    """The nearest earlier one."""
    distance: int
    """Bits between the two before the repair."""
    flipped: int
    """Bits changed to part them; 0 where no way was found and the code stayed."""


def least_distance(code_length: int, min_distance: float = MIN_DISTANCE) -> int:
    """That share of K bits, and one at least; by default as far as `separate` puts equal codes."""
    return max(1, int(min_distance * code_length))


def part(
    bits: Bits, margins: NDArray[np.float64], apart: int, first: int = 0
) -> tuple[Bits, tuple[NearCollision, ...]]:
    """Move codes from ``first`` on until each is ``apart`` bits or more from all before it.

    bits, margins [V, K]. A code flips the bits it is least sure of, of those in which it equals
    the nearest code before it; then those of the next nearest, until none is too near. No bit is
    flipped twice, so this ends; where it ends without success the code stays as it was.
    """
    changed = bits.copy()
    packed, columns = pack(bits), np.ascontiguousarray(bits.T)
    suspects = _too_near(packed, apart)
    found: list[NearCollision] = []
    for index in range(max(first, 1), len(bits)):
        if not suspects[index]:
            continue
        earlier = packed[:index]
        near = distances(packed[index : index + 1], earlier)[0]
        kept = int(near.argmin())
        if near[kept] >= apart:
            continue
        moved = _moved_away(changed[index], margins[index], columns[:, :index], near, apart)
        flipped = int((moved != changed[index]).sum())
        found.append(NearCollision(index, kept, int(near[kept]), flipped))
        changed[index] = columns[:, index] = moved
        packed[index] = pack(moved[None])[0]
        if flipped:  # it may have come near to a later one
            suspects[index:] |= distances(packed[index : index + 1], packed[index:])[0] < apart
    return changed, tuple(found)


def repaired(
    bits: Bits, margins: NDArray[np.float64], min_distance: float, repairs: Repairs
) -> tuple[Bits, Repairs, int]:
    """A whole codebook with equal codes separated and near ones parted.

    Also what had to be done, added to ``repairs``, and how many bits apart codes are held.
    """
    bits, collisions = separate(bits, margins)
    apart = least_distance(bits.shape[1], min_distance)
    bits, near = part(bits, margins, apart)
    return bits, replace(repairs, collisions=collisions, near=near), apart


def _too_near(packed: NDArray[np.uint8], apart: int) -> NDArray[np.bool_]:
    """[V]: whether each packed code [V, K/8] is less than ``apart`` bits from one before it."""
    found = np.zeros(len(packed), np.bool_)
    for start in range(0, len(packed), BLOCK):
        stop = min(start + BLOCK, len(packed))
        near = distances(packed[start:stop], packed[:stop])
        earlier = np.arange(stop) < np.arange(start, stop)[:, None]
        found[start:stop] = ((near < apart) & earlier).any(1)
    return found


def equal_report(pairs: Sequence[tuple[int, int]], name: Callable[[int], str]) -> dict[str, Any]:
    """How many codes were equal to another, all of them resolved, and the first pairs."""
    return {
        "found": len(pairs),
        "resolved": len(pairs),
        "pairs": [[name(changed), name(kept)] for changed, kept in pairs[:PAIRS]],
    }


def near_report(near: Sequence[NearCollision], name: Callable[[int], str]) -> dict[str, Any]:
    """How many there were and were resolved, and the first pairs with their distance."""
    return {
        "found": len(near),
        "resolved": sum(pair.flipped > 0 for pair in near),
        "pairs": [[name(pair.changed), name(pair.kept), pair.distance] for pair in near[:PAIRS]],
    }


def _moved_away(
    code: Bits,
    margins: NDArray[np.float64],
    others: Bits,
    near: NDArray[np.int32],
    apart: int,
) -> Bits:
    """``code`` [K], flipped until it is ``apart`` bits from all ``others`` [K, n], which are
    ``near`` [n] bits away; as it was where there is no way."""
    order = np.argsort(margins, kind="stable")
    moved, near = code.copy(), near.copy()
    free = np.ones(len(code), np.bool_)
    while near.min() < apart:
        parting = order[(free & (moved == others[:, near.argmin()]))[order]]
        if not len(parting):
            return code
        bit = parting[0]
        # One bit more from those that had it too, one less from the rest: no need to count anew.
        near += np.where(others[bit] == moved[bit], 1, -1).astype(near.dtype)
        moved[bit] ^= True
        free[bit] = False
    return moved


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
