"""Figures of how well lines are read: shares, intervals, likeness of texts. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

Z: Final = 1.959964
"""Standard deviations of a two-sided 95% interval."""


def mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)


def wilson(right: int, count: int) -> tuple[float, float]:
    """The Wilson 95% interval of a fraction ``right / count``, within 0 to 1."""
    share, z2 = right / count, Z * Z
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    spread = share * (1 - share) / count + z2 / (4 * count * count)
    half = Z * math.sqrt(spread) / (1 + z2 / count)
    # At 0 and at 1 the bounds meet the share, and rounding must not carry them past it.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def similarity(truth: str, read: str) -> float:
    """1 - edit distance / length of the longer text; 1 for two empty ones."""
    from rapidfuzz.distance import Levenshtein

    return float(Levenshtein.normalized_similarity(truth, read))


def misread(truth: str, read: str) -> list[bool]:
    """For each character of ``truth``, whether the best alignment has it replaced or lost."""
    from rapidfuzz.distance import Levenshtein

    wrong = [False] * len(truth)
    for step in Levenshtein.editops(truth, read):
        if step.tag != "insert":
            wrong[step.src_pos] = True
    return wrong
