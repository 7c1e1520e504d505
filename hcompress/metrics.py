"""Figures of how well lines are read: shares, intervals, likeness of texts. Torch-free."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

Z: Final = 1.959964
"""Standard deviations of a two-sided 95% interval."""

_ROUNDED: Final = 1e-6
"""Figures are written in full; by hand they may be rounded by this much."""
MOST_WRONG: Final = 200
"""Lines read wrong that an evaluation lists."""


READING: Final = 2
"""The way in which images are prepared and cut and answers decoded: one higher wherever a line may
be read as another text. What was measured in another way says nothing of what is read today."""


class Ignore(StrEnum):
    """A difference between texts that does not count."""

    CASE = "case"
    SPACE = "space"
    WIDTH = "width"
    """Full width or half, and whatever else NFKC makes equal."""
    PUNCTUATION = "punctuation"
    """Punctuation marks and symbols: all but letters, digits and white space."""


@dataclass(frozen=True)
class Ignored:
    """All that does not count when texts are compared."""

    kinds: frozenset[Ignore] = frozenset()
    characters: str = ""

    def __bool__(self) -> bool:
        return bool(self.kinds or self.characters)

    def to_dict(self) -> dict[str, object]:
        return {"kinds": sorted(self.kinds), "characters": self.characters}


def folded(text: str, ignored: Ignored) -> str:
    """The text without what is ignored: two texts are equal then if nothing else differs."""
    alike = (_alike(character, ignored.kinds) for character in ignored.characters)
    # "…" is three full stops by NFKC: to ignore it is not to ignore full stops.
    dropped = {*ignored.characters, *(other for other in alike if len(other) == 1)}
    kept = "".join(character for character in text if character not in ignored.characters)
    return "".join(other for other in _alike(kept, ignored.kinds) if other not in dropped)


def _alike(text: str, kinds: frozenset[Ignore]) -> str:
    if Ignore.WIDTH in kinds:
        text = unicodedata.normalize("NFKC", text)
    if Ignore.CASE in kinds:
        text = text.casefold()
    if Ignore.SPACE in kinds:
        text = "".join(text.split())
    if Ignore.PUNCTUATION in kinds:
        text = "".join(one for one in text if unicodedata.category(one)[0] not in "PS")
    return text


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


def contradiction(
    images: int,
    accuracy: float,
    interval: tuple[float | None, float | None] = (None, None),
    ned: float | None = None,
    wrong: int | None = None,
) -> str | None:
    """Why figures can't all be of one evaluation, on one line; None if they can.

    ``interval``: Wilson's, low and high. ``wrong``: lines that are listed as read wrong. None: it
    does not say.
    """
    right = round(accuracy * images)
    if abs(accuracy - right / images) > _ROUNDED:
        return f"accuracy {accuracy:g} is no share of {images} images"
    wanted = wilson(right, images)
    for said, must in zip(interval, wanted, strict=True):
        if said is not None and abs(said - must) > _ROUNDED:
            low, high = wanted
            return (
                f"{right} of {images} right have an interval of {low:.6f} to {high:.6f}, not"
                f" {said:.6f}"
            )
    if wrong is not None and wrong != min(images - right, MOST_WRONG):
        return f"{right} of {images} right, and {wrong} lines listed as wrong"
    if ned is not None and ned < accuracy - _ROUNDED:
        return f"1-NED {ned:g} is below the accuracy {accuracy:g}"
    return None


def paired(right_a: Sequence[bool], right_b: Sequence[bool]) -> tuple[float, float, float]:
    """B's share of lines read right less A's, on the same lines, with its 95% interval (-1 to 1).

    The interval is that of paired proportions after Agresti and Min (2005): half a pair added to
    each cell of the 2 x 2 table. At least one line; raises ValueError where the lines differ in
    number.
    """
    lost = sum(a and not b for a, b in zip(right_a, right_b, strict=True))
    won = sum(b and not a for a, b in zip(right_a, right_b, strict=True))
    count = len(right_a) + 2
    up, down = won + 0.5, lost + 0.5
    centre = (up - down) / count
    half = Z * math.sqrt(max(0.0, up + down - (up - down) ** 2 / count)) / count
    return (won - lost) / len(right_a), max(-1.0, centre - half), min(1.0, centre + half)


def similarity(truth: str, read: str) -> float:
    """1 - edit distance / length of the longer text; 1 for two empty ones."""
    from rapidfuzz.distance import Levenshtein

    return float(Levenshtein.normalized_similarity(truth, read))


def misread(truth: Sequence[Hashable], read: Sequence[Hashable]) -> list[bool]:
    """For each character of ``truth``, whether the best alignment has it replaced or lost.

    Texts, or any other sequences.
    """
    from rapidfuzz.distance import Levenshtein

    wrong = [False] * len(truth)
    for step in Levenshtein.editops(truth, read):
        if step.tag != "insert":
            wrong[step.src_pos] = True
    return wrong
