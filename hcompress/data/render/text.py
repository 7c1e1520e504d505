"""What the lines say: random strings and words, drawn from the characters a face covers."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


T = TypeVar("T")
RARE_RATE = 0.25
_ONSETS = (
    *"bcdfghjklmnprstvwyz",
    *("br", "ch", "cl", "cr", "dr", "fl", "fr", "gr", "ph", "pl", "pr", "qu", "sh", "sl", "sp"),
    *("st", "str", "th", "tr", "wh", "", "", ""),
)
_NUCLEI = (*"aeiouyaeio", "ai", "ea", "ee", "ie", "oo", "ou")
_CODAS = (
    *"bdglmnprstx",
    *("ck", "nd", "ng", "nt", "rd", "rk", "rt", "sh", "st", "th", "ll", "ss"),
    *("", "", "", "", "", ""),
)
_ENDINGS = ".,:;!?"
_JOINERS = "-&/'+_@.=*#~^|\\<"
_CURRENCIES = "$#+-~<>"
_BRACKETS = ("()", "[]", "{}", '""', "''", "**", "<>", "``")


@dataclass(frozen=True)
class Alphabet:
    """Characters to draw from, and how often a random string draws each."""

    characters: tuple[str, ...]
    cumulative: NDArray[np.float64]
    """Cumulative rates, ending at exactly 1."""
    known: frozenset[str]

    @classmethod
    def of(cls, characters: Sequence[str], rare: str) -> Alphabet:
        rates = np.array([RARE_RATE if c in rare else 1.0 for c in characters])
        cumulative = np.cumsum(rates) / rates.sum()
        cumulative[-1] = 1.0
        return cls(tuple(characters), cumulative, frozenset(characters))

    def draw(self, rng: np.random.Generator, length: int) -> str:
        places = np.searchsorted(self.cumulative, rng.random(length), side="right")
        return "".join(self.characters[place] for place in places)


def line(
    rng: np.random.Generator, alphabet: Alphabet, lengths: tuple[int, int], words: float
) -> str:
    """One line of lengths[0] to lengths[1] characters, all of them in the alphabet."""
    least, most = lengths
    if rng.random() < words:
        text = "".join(c for c in wordlike(rng, most) if c in alphabet.known)[:most]
        if len(text) >= least:
            return text
    return alphabet.draw(rng, int(rng.integers(least, most + 1)))


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of them, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def word(rng: np.random.Generator, most: int) -> str:
    """A word of no language, of up to ``most`` letters."""
    syllables = int(rng.integers(1, 5))
    text = "".join(
        pick(rng, _ONSETS) + pick(rng, _NUCLEI) + pick(rng, _CODAS) for _ in range(syllables)
    )[:most]
    case = rng.random()
    if case < 0.30:
        return text.capitalize()
    return text.upper() if case < 0.55 else text


def digits(rng: np.random.Generator, least: int, most: int) -> str:
    """From ``least`` to ``most`` of them, a leading zero like any other."""
    return "".join(pick(rng, string.digits) for _ in range(int(rng.integers(least, most + 1))))


def wordlike(rng: np.random.Generator, most: int) -> str:
    """A Latin word, number, date or code, of about ``most`` characters at most."""
    kind = rng.random()
    if kind < 0.50:
        return word(rng, most)
    if kind < 0.60:
        return word(rng, most - 1) + pick(rng, _ENDINGS)
    if kind < 0.68:
        return word(rng, 5) + pick(rng, _JOINERS) + word(rng, 6)
    if kind < 0.74:
        brackets = pick(rng, _BRACKETS)
        return brackets[0] + word(rng, most - 2) + brackets[1]
    if kind < 0.80:
        return word(rng, most - 3) + digits(rng, 1, 3)
    return _number(rng)


def _number(rng: np.random.Generator) -> str:
    kind = int(rng.integers(6))
    if kind == 0:
        return digits(rng, 3, 8)
    if kind == 1:
        return pick(rng, _CURRENCIES) + digits(rng, 1, 4) + "." + digits(rng, 2, 2)
    if kind == 2:
        mark = pick(rng, "-/.")
        return mark.join((digits(rng, 2, 2), digits(rng, 2, 2), digits(rng, 2, 4)))
    if kind == 3:
        return digits(rng, 2, 2) + ":" + digits(rng, 2, 2)
    if kind == 4:
        return digits(rng, 1, 3) + pick(rng, ("%", "m", "km", "kg", "x", "GB", "st", "th", "+"))
    letters = "".join(pick(rng, string.ascii_uppercase) for _ in range(int(rng.integers(1, 4))))
    return letters + pick(rng, ("-", "", "/", "_")) + digits(rng, 2, 5)
