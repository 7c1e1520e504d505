"""How many bits each of a network's weights gets, by what its rounding costs."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Final, NamedTuple

MOST: Final = 8
LEAST: Final = 3
"""Below it what a bit less costs is no longer foreseen by the law of `Weighed`."""


class Weighed(NamedTuple):
    """What a weight costs."""

    numbers: int
    harm: float
    """What storing it in some number of bits, the same for all weights, costs. One bit fewer
    costs four times as much: the error's square goes with that of the grid's step."""


def bit_shares(weights: Mapping[str, Weighed], measured_at: int, mean: float) -> dict[str, int]:
    """The bits of each weight, LEAST to MOST, with at most that mean over all numbers.

    Harms are of ``measured_at`` bits. Each bit goes to the weight in which it saves most harm a
    number stored. Ties go by name.
    """
    left = mean * sum(one.numbers for one in weights.values())
    bits = dict.fromkeys(weights, LEAST)
    left -= LEAST * sum(one.numbers for one in weights.values())
    queue = [(-_gain(one, measured_at, LEAST), name) for name, one in weights.items()]
    heapq.heapify(queue)
    while queue:
        _, name = heapq.heappop(queue)
        one = weights[name]
        if one.numbers > left:
            continue  # a smaller one may still fit
        left -= one.numbers
        bits[name] += 1
        if bits[name] < MOST:
            heapq.heappush(queue, (-_gain(one, measured_at, bits[name]), name))
    return bits


def _gain(one: Weighed, measured_at: int, bits: int) -> float:
    """Harm that a bit more than ``bits`` takes away, a number."""
    harm: float = one.harm * 4.0 ** (measured_at - bits)
    return 0.75 * harm / max(one.numbers, 1)
