"""A spec as a data source: every image made from (seed, index) alone, when asked for."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from hcompress.data.preprocess import pad_right
from hcompress.data.render.degrade import photograph
from hcompress.data.render.draw import BODY, HEIGHT, ROOM, View, ink, see
from hcompress.data.render.even import Deck, Families, choose_face, face_and_rest
from hcompress.data.render.everyday import VERSION, Everyday, tidy
from hcompress.data.render.families import FAMILIES, Family
from hcompress.data.render.fonts import FIRST_CJK, Face, coverage, faces, font_digest
from hcompress.data.render.letterforms import bent
from hcompress.data.render.phrases import Phrases, everyday_words, phrases
from hcompress.data.render.spec import Mode, TextSpec
from hcompress.data.render.text import Alphabet, line, wordlike
from hcompress.data.sample import Sample
from hcompress.errors import InputRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


RENDERER_VERSION = 1
"""Raise it when equal specs would give other images: it is part of the digest."""
WIDTH = 160
NARROWEST = 40
"""Pixels across, of the shortest lines that are as wide as their text."""
MARGINS = ((1, -1, 1, -1), (9, 7, 9, 7))
"""Pixels around the text, left, top, right and bottom: from, and to."""
WIDE_MARGINS = ((3, 1, 3, 1), (11, 7, 11, 7))
"""The same where lines are as wide as their text: the view cuts off next to nothing."""
EM = 43.0
"""Pixels across that an ideograph takes in a line, with the space after it."""
CHINESE = 0.8
"""Share of words that begin with Chinese ones, where the charset has them, and of those, the
share that have nothing after them."""
STROKES = 2.0
"""An ideograph has some twice the strokes side by side that a letter has: it needs the pixels."""
NARROW = 0.9
"""Of the usual window's width, where characters are squeezed: an ideograph still fits in it."""
LEAST_COVERAGE = 0.2
"""A face that draws less of the charset than this sits out: it would show the same few."""


class RenderedSource:
    """Rendered lines (48 x 160, or 48 x what their text needs) or single characters, by index.

    Raises EnvironmentFailed where a font's package is missing, InputRefused where no font of
    the split draws a character of the charset.
    """

    dealt: ClassVar[bool] = True

    def __init__(self, spec: TextSpec) -> None:
        self.spec = spec
        self._families = _families(spec)
        self._deck = Deck(spec.characters, spec.seed)
        self._known = frozenset(spec.characters)
        self._phrases = _phrases(spec)
        self._everyday = _everyday(spec, self._families)

    def of(self, characters: Sequence[str]) -> RenderedSource:
        """The same data with fewer characters."""
        return RenderedSource(dataclasses.replace(self.spec, characters=tuple(characters)))

    @property
    def families(self) -> tuple[Family, ...]:
        """The typefaces its images are drawn in."""
        named = {family.name: family for family in FAMILIES}
        return tuple(named[pairs[0][0].family] for pairs in self._families)

    @property
    def characters(self) -> tuple[str, ...]:
        """What its texts are made of."""
        return self.spec.characters

    @property
    def lengths(self) -> tuple[int, int]:
        """Characters an image, at least and at most."""
        spec = self.spec
        return (1, 1) if spec.mode is Mode.GLYPHS else (spec.min_length, spec.max_length)

    def __len__(self) -> int:
        return self.spec.count

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over the spec, the renderer's and Pillow's version and the fonts' bytes."""
        import PIL

        parts = {
            "spec": self.spec.canonical(),
            "renderer": RENDERER_VERSION,
            "pillow": PIL.__version__,
            "fonts": [
                [f"{face.place}/{face.file}", font_digest(face)]
                for family in self._families
                for face, _ in family
            ],
        }
        words = self._phrases if self._everyday is None else self._everyday.words
        if words is not None:
            parts["words"] = words.digest
        if self._everyday is not None:
            parts["everyday"] = VERSION
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.spec.count:
            raise IndexError(index)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.spec.seed, index])))
        if self._everyday is not None:
            face, text = face_and_rest(rng, self._families, self._everyday.draw(rng))
            return self._line(rng, face, tidy(text, text))
        if self.spec.even:
            return self._even(rng, index)
        family = self._families[int(rng.integers(len(self._families)))]
        face, alphabet = family[int(rng.integers(len(family)))]
        if self.spec.mode is Mode.GLYPHS:
            # Every character as often as any other, rare or not.
            character = alphabet.characters[int(rng.integers(len(alphabet.characters)))]
            return self._glyph(rng, face, alphabet, character)
        spec = self.spec
        text = line(rng, alphabet, (spec.min_length, spec.max_length), spec.words)
        return self._line(rng, face, text)

    def _even(self, rng: np.random.Generator, index: int) -> Sample:
        """The text first: as even as the spec asks, whatever the fonts have."""
        spec = self.spec
        if spec.mode is Mode.GLYPHS:
            character = self._deck.deal(index, 1)
            face, alphabet, character = choose_face(rng, self._families, character)
            return self._glyph(rng, face, alphabet, character)
        text = self._words(rng) if rng.random() < spec.words else ""
        if len(text) < spec.min_length:
            length = int(rng.integers(spec.min_length, spec.max_length + 1))
            text = self._deck.deal(index * spec.max_length, length)
        face, _, text = choose_face(rng, self._families, text)
        return self._line(rng, face, text)

    def _words(self, rng: np.random.Generator) -> str:
        """Words, numbers and dates of the charset's characters; may come out too short."""
        most = self.spec.max_length
        text = ""
        if self._phrases is not None and rng.random() < CHINESE:
            text = self._phrases.draw(rng, most)
            if rng.random() < CHINESE:
                return text
        return (text + "".join(c for c in wordlike(rng, most) if c in self._known))[:most]

    def _line(self, rng: np.random.Generator, face: Face, text: str) -> Sample:
        spec = self.spec
        canvas, pens = self._ink(rng, face, text)
        left, right = _inked_columns(canvas, pens)
        margins = rng.uniform(*(MARGINS if spec.widest is None else WIDE_MARGINS))
        crop = (left - margins[0], ROOM - margins[1], right + margins[2], ROOM + BODY + margins[3])
        view = View.draw(rng, spec.degradation.geometry, right - left)
        aspect = (crop[2] - crop[0]) / (crop[3] - crop[1])
        widest = WIDTH if spec.widest is None else spec.widest
        width = min(widest, max(12, round(HEIGHT * aspect * float(rng.uniform(0.8, 1.15)))))
        pitch = self._pitch(width / len(text), text)
        image = self._photograph(rng, see(canvas, crop, (width, HEIGHT), view), pitch)
        return Sample(pad_right(image, WIDTH if spec.widest is None else NARROWEST), text)

    def _glyph(
        self, rng: np.random.Generator, face: Face, alphabet: Alphabet, character: str
    ) -> Sample:
        # The neighbours say nothing.
        text = alphabet.draw(rng, 2)
        text = text[0] + character + text[1]
        canvas, pens = self._ink(rng, face, text)
        margins = rng.uniform(-1, 7, 2)
        height = BODY + margins[0] + margins[1]
        # Long lines are squeezed: the window on them takes in more of the neighbours.
        width, across = height * float(rng.uniform(0.85, 1.5)), self.spec.glyph_width
        if across != HEIGHT:
            width *= NARROW
        centre = (pens[1] + pens[2]) / 2 + float(rng.uniform(-3, 3))
        crop = (centre - width / 2, ROOM - margins[0], centre + width / 2, ROOM + BODY + margins[1])
        view = View.draw(rng, self.spec.degradation.geometry, width)
        pitch = 16.0
        if self.spec.even:
            pitch = self._pitch(across * (pens[2] - pens[1]) / width, character)
        image = self._photograph(rng, see(canvas, crop, (across, HEIGHT), view), pitch)
        return Sample(image, character)

    def _pitch(self, pixels: float, text: str) -> float:
        """The pixels a character has, as a letter would count them."""
        wide = (self.spec.even or self._everyday is not None) and max(text) >= FIRST_CJK
        return float(pixels) / STROKES if wide else float(pixels)

    def _ink(
        self, rng: np.random.Generator, face: Face, text: str
    ) -> tuple[NDArray[np.uint8], list[float]]:
        canvas, pens = ink(face, text, float(rng.uniform(-0.8, 4.0)))
        strength = self.spec.degradation.letterforms
        return bent(rng, canvas, pens, strength) if strength else (canvas, pens)

    def _photograph(
        self, rng: np.random.Generator, seen: Image.Image, pitch: float
    ) -> NDArray[np.uint8]:
        """``pitch`` is the pixels a character has."""
        return photograph(rng, seen, self.spec.degradation, min(1.0, pitch / 14))


def _inked_columns(canvas: NDArray[np.uint8], pens: list[float]) -> tuple[float, float]:
    """Left and right ends of the ink."""
    columns = np.flatnonzero(canvas.any(axis=0))
    if len(columns) == 0:
        return pens[0], pens[-1]
    return float(columns[0]), float(columns[-1] + 1)


def _phrases(spec: TextSpec) -> Phrases | None:
    """Chinese words, where the spec's lines may have some."""
    wide = any(character >= FIRST_CJK for character in spec.characters)
    if wide and spec.even and spec.words and spec.mode is Mode.LINES:
        return phrases(spec.characters)
    return None


def _everyday(spec: TextSpec, families: Families) -> Everyday | None:
    """What everyday lines are made of, where the spec asks for them: characters that are drawn."""
    if spec.mode is not Mode.EVERYDAY or spec.widest is None:
        return None
    known = frozenset[str]().union(*(pair[1].known for family in families for pair in family))
    inked = tuple(c for c in spec.characters if c in known and c != " ")
    words = everyday_words(inked) if max(inked) >= FIRST_CJK else None
    lengths = (spec.min_length, spec.max_length)
    return Everyday(words, inked, known, lengths, spec.widest / EM)


def _families(spec: TextSpec) -> Families:
    """The split's faces that draw enough of the charset, by family, each with what it draws."""
    drawn: set[str] = set()
    families: dict[str, list[tuple[Face, Alphabet]]] = {}
    everyday_lines = spec.mode is Mode.EVERYDAY
    for face in faces(spec.fonts, spec.characters, spec.debian_fonts):
        covered = coverage(face) | {" "} if everyday_lines else coverage(face)
        characters = [c for c in spec.characters if c in covered]
        if not characters or characters == [" "]:
            continue
        # Everyday lines come first and find a face: a few letters of thousands will do.
        if not everyday_lines and len(characters) < LEAST_COVERAGE * len(spec.characters):
            continue
        drawn.update(characters)
        pair = (face, Alphabet.of(characters, spec.rare))
        families.setdefault(face.family, []).append(pair)
    missing = [c for c in spec.characters if c not in drawn]
    if missing and not (everyday_lines and families):
        raise InputRefused(
            f"charset: no {spec.fonts} font draws {len(missing)} of its characters, first"
            f" {missing[0]!r} (U+{ord(missing[0]):04X}); take them out"
        )
    return tuple(tuple(pairs) for pairs in families.values())
