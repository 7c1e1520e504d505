"""Contenders timed in turn on the same fresh queries: medians, minima, and ratios of pairs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

Q = TypeVar("Q")
Times = Mapping[str, Sequence[float]]
"""Seconds by contender; the same place in each is the same round."""
CLOCK_NAME: Final = "thread CPU time"
"""One thread does all that is timed, so on an idle machine this is the wall clock; on a busy one
it leaves out what others took."""


@dataclass(frozen=True)
class Effort:
    """How long one comparison goes on: until ``seconds`` are over, within the two bounds."""

    seconds: float
    fewest: int
    most: int


THOROUGH: Final = Effort(3.0, 7, 1001)
QUICK: Final = Effort(0.3, 3, 101)


def interleave(
    contenders: Mapping[str, Callable[[Q], object]],
    fresh: Callable[[], Q],
    effort: Effort,
    clock: Callable[[], float] = time.thread_time,
) -> dict[str, list[float]]:
    """Seconds of each contender in each round, all of a round on the same query.

    ``fresh`` makes a query nobody has seen. Each contender answers another one right before,
    untimed: it finds the caches as it leaves them itself, not as its neighbour does. Who is first
    changes from round to round.
    """
    names = list(contenders)
    times: dict[str, list[float]] = {name: [] for name in names}
    end = time.monotonic() + effort.seconds
    done = 0
    while done < effort.fewest or (done < effort.most and time.monotonic() < end):
        before, query = fresh(), fresh()
        first = done % len(names) if names else 0
        for name in (*names[first:], *names[:first]):
            answer = contenders[name]
            answer(before)
            start = clock()
            answer(query)
            times[name].append(clock() - start)
        done += 1
    return times


def ratio(slower: Sequence[float], faster: Sequence[float]) -> float:
    """The median of how many times longer ``slower`` took, round by round."""
    return statistics.median(a / b for a, b in zip(slower, faster, strict=True))


def figures(
    times: Times,
    names: Sequence[str],
    unit: str,
    scale: float,
    pairs: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """Medians as ``NAME_UNIT``; minima; the ratios of ``pairs``, each a slower and a faster one.

    ``scale`` turns a round's seconds into the unit. A name without times gives None, and a pair
    with it nothing.
    """
    shown: dict[str, Any] = {}
    for name in names:
        found = times.get(name)
        shown[f"{name}_{unit}"] = _number(statistics.median(found) * scale) if found else None
    return {
        **shown,
        "minima": {name: _number(min(found) * scale) for name, found in times.items()},
        "ratios": {
            f"{slower}/{faster}": _number(ratio(times[slower], times[faster]))
            for slower, faster in pairs
            if slower in times and faster in times
        },
        "rounds": min((len(found) for found in times.values()), default=0),
    }


def _number(value: float) -> float:
    """Four digits: more is noise."""
    return float(f"{value:.4g}")
