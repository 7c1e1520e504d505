"""Two models on the same lines: what the second reads worse and better, in one answer.

Ours are held to the very characters. A peer has a charset and habits of its own: with one, only
lines whose every character both know count, and texts are equal where they are so when folded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from hcompress.errors import InputRefused
from hcompress.evaluation.evaluate import COUNT_ALL, Line, summarise
from hcompress.metrics import Ignore, Ignored, folded, mean, misread
from hcompress.metrics import paired as paired_share

FOLDING: Final = "NFKC, without white space"
WITH_PEERS: Final = Ignored(frozenset({Ignore.WIDTH, Ignore.SPACE}))
"""What `FOLDING` says: a full-width letter is the letter."""


def common_lines(
    before: Sequence[Line], after: Sequence[Line], charsets: Iterable[Iterable[str]]
) -> tuple[list[Line], list[Line]]:
    """Both models' readings of the lines whose every character all charsets have, all folded.

    Raises InputRefused where there is none.
    """
    known = set.intersection(*({folded(c, WITH_PEERS) for c in charset} for charset in charsets))
    kept = [known.issuperset(folded(line.truth, WITH_PEERS)) for line in before]
    if not any(kept):
        raise InputRefused("data: no line has only characters that both know: nothing to compare")
    first, second = (
        [line.folded(WITH_PEERS) for line, keep in zip(lines, kept, strict=True) if keep]
        for lines in (before, after)
    )
    return first, second


def compare_lines(
    before: Sequence[Line], after: Sequence[Line], ignored: Ignored = COUNT_ALL
) -> dict[str, Any]:
    """Both accuracies, the paired change with its interval, and lines and characters that differ.

    As `hcompress compare --json` prints it, A before and B after. ``ignored``: what does not count
    in any figure but that of lines with the very same text; lines show their texts as they are.
    """
    old, new = ([line.folded(ignored) for line in lines] for lines in (before, after))
    pairs = list(zip(before, after, strict=True))
    right = [(one.right, two.right) for one, two in zip(old, new, strict=True)]
    return {
        **({"ignored": ignored.to_dict()} if ignored else {}),
        "a": summarise(old),
        "b": summarise(new),
        **paired(old, new),
        "same_text": _same_text(before, after),
        "worse": _changed(pairs, right, (True, False)),
        "better": _changed(pairs, right, (False, True)),
        "characters": characters(old, new),
    }


def compare_texts(before: Sequence[Line], after: Sequence[Line]) -> dict[str, Any]:
    """How many texts are the same, and the lines that are not, where nobody knows what is right."""
    return {
        "images": len(before),
        "same_text": _same_text(before, after),
        "different": [
            {"index": one.index, "a": one.read, "b": two.read}
            for one, two in zip(before, after, strict=True)
            if one.read != two.read
        ],
    }


def _same_text(before: Sequence[Line], after: Sequence[Line]) -> float:
    """The share of lines of which both read the same, to the very character."""
    return mean(one.read == two.read for one, two in zip(before, after, strict=True))


def _changed(
    pairs: Sequence[tuple[Line, Line]],
    right: Sequence[tuple[bool, bool]],
    wanted: tuple[bool, bool],
) -> list[dict[str, Any]]:
    """Lines that only one of the two read right, as ``wanted`` says."""
    return [
        {"index": one.index, "truth": one.truth, "a": one.read, "b": two.read}
        for (one, two), found in zip(pairs, right, strict=True)
        if found == wanted
    ]


def paired(before: Sequence[Line], after: Sequence[Line]) -> dict[str, Any]:
    """Two models on the same lines: lines lost and won, and the change in points.

    The 95% interval is that of `metrics.paired`.
    """
    right = [[line.right for line in lines] for lines in (before, after)]
    change, low, high = paired_share(*right)
    return {
        "lost": sum(one and not two for one, two in zip(*right, strict=True)),
        "won": sum(two and not one for one, two in zip(*right, strict=True)),
        "change": 100 * change,
        "change_low": 100 * low,
        "change_high": 100 * high,
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
