"""Codes that are distinct but too close: found, counted and moved apart.

V vocabulary, K bits. Pure functions of their arguments.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hcompress.codes.codebook import Bits, pack
from hcompress.codes.distances import distances


class NearCollision(NamedTuple):
    """A code that lay too close to an earlier one. Ids are vocabulary ids."""

    changed: int
    kept: int
    """The nearest earlier one."""
    distance: int
    """Bits between the two before the repair."""
    flipped: int
    """Bits changed to part them; 0 where no way was found and the code stayed."""


def least_distance(code_length: int) -> int:
    """K/64 bits, and one at least: as far apart as `separate` puts equal codes."""
    return max(1, code_length // 64)


def part(
    bits: Bits, margins: NDArray[np.float64], apart: int, first: int = 0
) -> tuple[Bits, tuple[NearCollision, ...]]:
    """Move codes from ``first`` on until each is ``apart`` bits or more from all before it.

    bits, margins [V, K]. A code flips the bits it is least sure of, of those in which it equals
    the nearest code before it; then those of the next nearest, until none is too near. No bit is
    flipped twice, so this ends; where it ends without success the code stays as it was.
    """
    changed = bits.copy()
    packed = pack(bits)
    found: list[NearCollision] = []
    for index in range(max(first, 1), len(bits)):
        earlier = packed[:index]
        near = distances(packed[index : index + 1], earlier)[0]
        kept = int(near.argmin())
        if near[kept] >= apart:
            continue
        moved = _moved_away(changed[index], margins[index], changed[:index], earlier, apart)
        flipped = int((moved != changed[index]).sum())
        found.append(NearCollision(index, kept, int(near[kept]), flipped))
        changed[index] = moved
        packed[index] = pack(moved[None])[0]
    return changed, tuple(found)


def _moved_away(
    code: Bits,
    margins: NDArray[np.float64],
    others: Bits,
    packed: NDArray[np.uint8],
    apart: int,
) -> Bits:
    order = np.argsort(margins, kind="stable")
    moved = code.copy()
    free = np.ones(len(code), np.bool_)
    while True:
        near = distances(pack(moved[None]), packed)[0]
        nearest = int(near.argmin())
        if near[nearest] >= apart:
            return moved
        parting = order[(free & (moved == others[nearest]))[order]]
        if not len(parting):
            return code
        moved[parting[0]] ^= True
        free[parting[0]] = False
