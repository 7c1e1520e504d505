"""Every character as often as every other: the text comes first, then a face that draws it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hcompress.data.render.text import Alphabet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.data.render.fonts import Face


Families = tuple[tuple[tuple["Face", Alphabet], ...], ...]
_ORDER = 1
"""Sets the orders' random numbers apart from those of the images."""


@dataclass(frozen=True)
class Deck:
    """The characters, shuffled and dealt out, shuffled anew, and so on without end."""

    characters: tuple[str, ...]
    seed: int

    def deal(self, first: int, count: int) -> str:
        """The characters at places ``first`` on; V places from a multiple of V hold each once."""
        size = len(self.characters)
        places = (divmod(place, size) for place in range(first, first + count))
        return "".join(
            self.characters[int(_order(size, self.seed, turn)[rest])] for turn, rest in places
        )


@functools.lru_cache(maxsize=16)
def _order(size: int, seed: int, turn: int) -> NDArray[np.int32]:
    sequence = np.random.SeedSequence([seed, turn, _ORDER])
    order = np.random.Generator(np.random.PCG64(sequence)).permutation(size)
    return order.astype(np.int32)


def choose_face(
    rng: np.random.Generator, families: Families, text: str
) -> tuple[Face, Alphabet, str]:
    """A face that draws the whole text, every family that has one as likely as the others.

    Where none draws all of it, the face that draws most of it, and the rest of the text drawn
    anew from what that face has.
    """
    if (whole := _able(rng, families, text)) is not None:
        return *whole, text
    face, alphabet = _nearest(families, text)
    others = iter(alphabet.draw(rng, len(text)))
    return face, alphabet, "".join(c if c in alphabet.known else next(others) for c in text)


def face_and_rest(rng: np.random.Generator, families: Families, text: str) -> tuple[Face, str]:
    """A face as `choose_face` has it, and what it draws of the text: all, or the most there is."""
    if (whole := _able(rng, families, text)) is not None:
        return whole[0], text
    face, alphabet = _nearest(families, text)
    return face, "".join(c for c in text if c in alphabet.known)


def _able(rng: np.random.Generator, families: Families, text: str) -> tuple[Face, Alphabet] | None:
    able = [[pair for pair in family if pair[1].known.issuperset(text)] for family in families]
    able = [family for family in able if family]
    if not able:
        return None
    family = able[int(rng.integers(len(able)))]
    return family[int(rng.integers(len(family)))]


def _nearest(families: Families, text: str) -> tuple[Face, Alphabet]:
    pairs = [pair for family in families for pair in family]
    return max(pairs, key=lambda pair: sum(c in pair[1].known for c in text))
