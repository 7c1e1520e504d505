"""Two readers on the same lines: the difference, and how far chance could have moved it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hcompress.metrics import Z, mean


def averaged(runs: Sequence[Sequence[bool]]) -> list[float]:
    """For each line the share of runs that read it right: seeds first, then lines."""
    return [sum(line) / len(runs) for line in zip(*runs, strict=True)]


def paired_difference(before: Sequence[float], after: Sequence[float]) -> dict[str, float]:
    """Points of accuracy won from ``before`` to ``after``, with the 95% interval.

    The lines are the unit, each with its share of seeds that read it right: the paired
    differences' mean and its standard error by the central limit theorem, as E. Miller, "Adding
    Error Bars to Evals" (2024), does for questions answered several times. Nothing is drawn, and
    swapped sides swap signs. `evaluation.paired` (Agresti and Min) is kinder to a few discordant
    lines, but counts whole ones: means over seeds have no 2 x 2 table.
    """
    changes = [two - one for one, two in zip(before, after, strict=True)]
    change = mean(changes)
    variance = math.fsum((each - change) ** 2 for each in changes) / max(1, len(changes) - 1)
    half = Z * math.sqrt(variance / len(changes))
    return {
        "change": 100 * change,
        "change_low": 100 * max(-1.0, change - half),
        "change_high": 100 * min(1.0, change + half),
    }
