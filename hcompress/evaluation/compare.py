"""Two models on the same lines: what the second reads worse and better, in one answer.

Ours are held to the very characters. A peer has a charset and habits of its own: with one, only
lines whose every character both know count, and texts are equal where they are so when folded.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from hcompress.errors import InputRefused
from hcompress.evaluation.evaluate import Line, summarise
from hcompress.metrics import Z, misread

FOLDING: Final = "NFKC, without white space"


def folded(text: str) -> str:
    """The text in NFKC and without white space: a full-width letter is the letter."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def common_lines(
    before: Sequence[Line], after: Sequence[Line], charsets: Iterable[Iterable[str]]
) -> tuple[list[Line], list[Line]]:
    """Both models' readings of the lines whose every character all charsets have, all folded.

    Raises InputRefused where there is none.
    """
    known = set.intersection(*({folded(c) for c in charset} for charset in charsets))
    kept = [known.issuperset(folded(line.truth)) for line in before]
    if not any(kept):
        raise InputRefused("data: no line has only characters that both know: nothing to compare")
    first, second = (
        [_folded(line) for line, keep in zip(lines, kept, strict=True) if keep]
        for lines in (before, after)
    )
    return first, second


def _folded(line: Line) -> Line:
    return Line(line.index, folded(line.truth), folded(line.read), line.confidence)


def compare_lines(before: Sequence[Line], after: Sequence[Line]) -> dict[str, Any]:
    """Both accuracies, the paired change with its interval, and lines and characters that differ.

    As `hcompress compare --json` prints it, A before and B after.
    """
    return {
        "a": summarise(before),
        "b": summarise(after),
        **paired(before, after),
        "worse": _changed(before, after, lost=True),
        "better": _changed(before, after, lost=False),
        "characters": characters(before, after),
    }


def _changed(before: Sequence[Line], after: Sequence[Line], lost: bool) -> list[dict[str, Any]]:
    """Lines that only A read exactly (``lost``), or only B."""
    return [
        {"index": one.index, "truth": one.truth, "a": one.read, "b": two.read}
        for one, two in zip(before, after, strict=True)
        if one.right != two.right and one.right == lost
    ]


def paired(before: Sequence[Line], after: Sequence[Line]) -> dict[str, Any]:
    """Two models on the same lines: lines lost and won, and the change in points.

    The 95% interval is that of paired proportions after Agresti and Min (2005): half a pair
    added to each cell of the 2 x 2 table.
    """
    lost = sum(one.right and not two.right for one, two in zip(before, after, strict=True))
    won = sum(two.right and not one.right for one, two in zip(before, after, strict=True))
    count = len(before) + 2
    up, down = won + 0.5, lost + 0.5
    centre = (up - down) / count
    half = Z * math.sqrt(max(0.0, up + down - (up - down) ** 2 / count)) / count
    return {
        "lost": lost,
        "won": won,
        "change": 100 * (won - lost) / len(before),
        "change_low": 100 * max(-1.0, centre - half),
        "change_high": 100 * min(1.0, centre + half),
    }


def characters(before: Sequence[Line], after: Sequence[Line]) -> list[dict[str, Any]]:
    """Characters of the truth that the second model misreads more or less often, worst first."""
    seen: dict[str, list[int]] = {}
    for place, lines in enumerate((before, after)):
        for line in lines:
            for character, wrong in zip(line.truth, misread(line.truth, line.read), strict=True):
                tally = seen.setdefault(character, [0, 0, 0])
                tally[place] += wrong
                tally[2] += place == 0
    rows = [
        {"character": character, "count": count, "wrong_before": old, "wrong_after": new}
        for character, (old, new, count) in seen.items()
        if old != new
    ]
    return sorted(rows, key=_worsening)


def _worsening(row: Mapping[str, Any]) -> tuple[int, str]:
    return row["wrong_before"] - row["wrong_after"], row["character"]
