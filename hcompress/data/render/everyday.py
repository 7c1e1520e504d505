"""What people photograph, as text: words, prices, dates, addresses, receipts, signs, sentences.

Pure: an rng and a source of words in, a line out. Each kind of line is a function of
`everyday_latin` or `everyday_chinese`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hcompress.data.render import everyday_chinese, everyday_latin
from hcompress.data.render.fonts import FIRST_CJK
from hcompress.data.render.text import pick

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy as np

    from hcompress.data.render.phrases import Words


VERSION: Final = 1
"""Raise it when equal specs would give other lines: it is part of the digest."""
CHINESE: Final = 0.65
"""Share of lines from Chinese kinds, where there are Chinese words."""
LETTER: Final = 0.55
"""Ems that a letter takes, on average; an ideograph takes one."""
TRIES: Final = 32


@dataclass(frozen=True)
class Everyday:
    """What everyday lines are made of, and how long they may be."""

    words: Words | None
    """None: Latin lines alone."""
    characters: tuple[str, ...]
    """What has ink."""
    known: frozenset[str]
    """What a line may hold: these, and perhaps the space."""
    lengths: tuple[int, int]
    ems: float
    """What a line may take, by `width`."""

    def draw(self, rng: np.random.Generator) -> str:
        """A line of lengths[0] to lengths[1] known characters.

        If no kind of line can be had of them, as of nothing but Greek, characters at random.
        """
        least, most = self.lengths
        for _ in range(TRIES):
            if self.words is not None and rng.random() < CHINESE:
                text = pick(rng, everyday_chinese.TEMPLATES)(rng, self.words)
            else:
                text = pick(rng, everyday_latin.TEMPLATES)(rng)
            text = tidy(text, self.known)
            if least <= len(text) <= most and width(text) <= self.ems:
                return text
        length = int(rng.integers(least, most + 1))
        inked = [one for one in self.characters if not one.isspace()]  # a space at an end is none
        return "".join(pick(rng, inked or self.characters) for _ in range(length))


def tidy(text: str, known: Collection[str]) -> str:
    """The text's known characters, with single spaces, and none at its ends."""
    return " ".join("".join(one for one in text if one in known).split())


def width(text: str) -> float:
    """Ems that the text takes, more or less."""
    return sum(1.0 if character >= FIRST_CJK else LETTER for character in text)
