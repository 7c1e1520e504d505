"""A spec as a data source: every image made from (seed, index) alone, when asked for."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

from hcompress.data.preprocess import pad_right
from hcompress.data.render.degrade import photograph
from hcompress.data.render.draw import BODY, HEIGHT, ROOM, View, ink, see
from hcompress.data.render.fonts import Face, coverage, faces, font_digest
from hcompress.data.render.letterforms import bent
from hcompress.data.render.spec import Mode, TextSpec
from hcompress.data.render.text import Alphabet, line
from hcompress.data.source import Sample
from hcompress.errors import InputRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

RENDERER_VERSION = 1
"""Raise it when equal specs would give other images: it is part of the digest."""
WIDTH = 160
LEAST_COVERAGE = 0.2
"""A face that draws less of the charset than this sits out: it would show the same few."""


class RenderedSource:
    """Rendered lines (48 x 160) or single characters (48 x 48), by index.

    Raises EnvironmentFailed where a font's package is missing, InputRefused where no font of
    the split draws a character of the charset.
    """

    def __init__(self, spec: TextSpec) -> None:
        self.spec = spec
        self._families = _families(spec)

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
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.spec.count:
            raise IndexError(index)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.spec.seed, index])))
        family = self._families[int(rng.integers(len(self._families)))]
        face, alphabet = family[int(rng.integers(len(family)))]
        if self.spec.mode is Mode.GLYPHS:
            return self._glyph(rng, face, alphabet)
        return self._line(rng, face, alphabet)

    def _line(self, rng: np.random.Generator, face: Face, alphabet: Alphabet) -> Sample:
        spec = self.spec
        text = line(rng, alphabet, (spec.min_length, spec.max_length), spec.words)
        canvas, pens = self._ink(rng, face, text)
        left, right = _inked_columns(canvas, pens)
        margins = rng.uniform((1, -1, 1, -1), (9, 7, 9, 7))
        crop = (left - margins[0], ROOM - margins[1], right + margins[2], ROOM + BODY + margins[3])
        view = View.draw(rng, spec.degradation.geometry, right - left)
        aspect = (crop[2] - crop[0]) / (crop[3] - crop[1])
        width = min(WIDTH, max(12, round(HEIGHT * aspect * float(rng.uniform(0.8, 1.15)))))
        image = self._photograph(rng, see(canvas, crop, (width, HEIGHT), view), width / len(text))
        return Sample(pad_right(image, WIDTH), text)

    def _glyph(self, rng: np.random.Generator, face: Face, alphabet: Alphabet) -> Sample:
        # Every character as often as any other, rare or not; the neighbours say nothing.
        character = alphabet.characters[int(rng.integers(len(alphabet.characters)))]
        text = alphabet.draw(rng, 2)
        text = text[0] + character + text[1]
        canvas, pens = self._ink(rng, face, text)
        margins = rng.uniform(-1, 7, 2)
        height = BODY + margins[0] + margins[1]
        # Long lines are squeezed: the window on them takes in more of the neighbours.
        width = height * float(rng.uniform(0.85, 1.5))
        centre = (pens[1] + pens[2]) / 2 + float(rng.uniform(-3, 3))
        crop = (centre - width / 2, ROOM - margins[0], centre + width / 2, ROOM + BODY + margins[1])
        view = View.draw(rng, self.spec.degradation.geometry, width)
        image = self._photograph(rng, see(canvas, crop, (HEIGHT, HEIGHT), view), 16.0)
        return Sample(image, character)

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


def _families(spec: TextSpec) -> tuple[tuple[tuple[Face, Alphabet], ...], ...]:
    """The split's faces that draw enough of the charset, by family, each with what it draws."""
    drawn: set[str] = set()
    families: dict[str, list[tuple[Face, Alphabet]]] = {}
    for face in faces(spec.fonts, spec.characters):
        covered = coverage(face)
        characters = [c for c in spec.characters if c in covered]
        if len(characters) < LEAST_COVERAGE * len(spec.characters):
            continue
        drawn.update(characters)
        pair = (face, Alphabet.of(characters, spec.rare))
        families.setdefault(face.family, []).append(pair)
    missing = [c for c in spec.characters if c not in drawn]
    if missing:
        raise InputRefused(
            f"charset: no {spec.fonts} font draws {len(missing)} of its characters, first"
            f" {missing[0]!r} (U+{ord(missing[0]):04X}); take them out"
        )
    return tuple(tuple(pairs) for pairs in families.values())
