"""Plates and signs: codes in paint on coloured metal, with a frame around them.

What documents never are, and what cameras at gates and in streets see all day: light letters set
wide on a saturated ground, too little light or too much of it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from PIL import Image, ImageDraw

from hcompress.data.render.draw import BODY, HEIGHT, ROOM, ink
from hcompress.data.render.everyday_chinese import PLATES
from hcompress.data.render.fonts import Face, coverage, faces, font_digest
from hcompress.data.render.spec import Split
from hcompress.data.render.text import pick
from hcompress.data.sample import Sample
from hcompress.errors import InputRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Colour = tuple[int, int, int]

LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ"
DIGITS: Final = "0123456789"
WHITE, BLACK = (245, 245, 245), (15, 15, 15)
PAINTS: Final[tuple[tuple[Colour, Colour], ...]] = (
    ((15, 60, 190), WHITE), ((20, 90, 220), WHITE), ((10, 40, 130), WHITE), ((0, 110, 200), WHITE),
    ((235, 185, 20), BLACK), ((240, 240, 240), BLACK), ((20, 20, 20), WHITE),
    ((10, 110, 60), WHITE), ((140, 210, 160), BLACK), ((190, 25, 25), WHITE),
    ((245, 245, 245), (190, 20, 20)),
)  # fmt: skip
"""Ground and letters."""


@dataclass(frozen=True)
class PlateLines:
    """``count`` plates in training fonts, 48 high, made of these characters where they can be.

    Raises EnvironmentFailed where a font's package is missing, InputRefused if the characters have
    too few letters and digits.
    """

    dealt: ClassVar[bool] = True
    characters: Sequence[str]
    count: int
    seed: int

    def __post_init__(self) -> None:
        if not set(LETTERS + DIGITS) <= set(self.characters):
            raise InputRefused("plates: not all letters and digits are in the charset")

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over all that decides the images."""
        import PIL

        fonts = [font_digest(face) for face in self._faces]
        parts = ["plates 1", self.count, self.seed, list(self.characters), PIL.__version__, fonts]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, index])))
        text = self._text(rng)
        able = [face for face in self._faces if coverage(face).issuperset(text.replace(" ", ""))]
        face = able[int(rng.integers(len(able)))]
        return Sample(painted(rng, face, text), text)

    @functools.cached_property
    def _faces(self) -> tuple[Face, ...]:
        known = "".join(self._provinces)
        return tuple(
            face
            for face in faces(Split.TRAIN, known, debian=False)
            if coverage(face).issuperset(LETTERS + DIGITS)
        )

    @functools.cached_property
    def _provinces(self) -> tuple[str, ...]:
        """Those that a face draws with the letters; no Chinese fonts are asked for in vain."""
        known = [c for c in PLATES if c in set(self.characters)]
        drawn = [coverage(face) for face in faces(Split.TRAIN, known, debian=False)]
        able = [one for one in drawn if one.issuperset(LETTERS + DIGITS)]
        return tuple(c for c in known if any(c in one for one in able))

    def _text(self, rng: np.random.Generator) -> str:
        dots = [dot for dot in ("", "·", " ") if dot in ("", *self.characters)]
        if self._provinces and rng.random() < 0.7:
            rest = "".join(pick(rng, LETTERS + DIGITS * 3) for _ in range(5))
            first = pick(rng, self._provinces) + pick(rng, LETTERS)
            return first + pick(rng, dots) + rest
        size = int(rng.integers(3, 9))
        return "".join(pick(rng, LETTERS + DIGITS * 2) for _ in range(size))


def painted(rng: np.random.Generator, face: Face, text: str) -> NDArray[np.uint8]:
    """rows x columns x 3 (RGB), HEIGHT rows: the text on its plate, well or badly lit."""
    mask, pens = ink(face, text, float(rng.uniform(0, 12)))
    margin = rng.integers(2, 12, 4)
    left, right = ROOM - int(margin[0]), round(pens[-1]) + int(margin[1])
    top, bottom = ROOM - int(margin[2]) // 2, ROOM + BODY + int(margin[3]) // 2
    cut = mask[max(0, top) : bottom, max(0, left) : right].astype(np.float32) / 255
    ground, letters = PAINTS[int(rng.integers(len(PAINTS)))]
    plate = Image.new("RGB", (cut.shape[1], cut.shape[0]), ground)
    if rng.random() < 0.6:
        near = int(rng.integers(1, 4))
        box = (near, near, plate.width - 1 - near, plate.height - 1 - near)
        ImageDraw.Draw(plate).rounded_rectangle(box, 4, outline=letters, width=1)
    paint = np.asarray(plate, dtype=np.float64)
    paint = paint + (np.array(letters, np.float64) - paint) * cut[..., None]
    light = float(np.exp(rng.uniform(-1.2, 0.6))) * np.exp(rng.uniform(-0.2, 0.2, 3))
    haze = float(rng.uniform(0, 60)) if rng.random() < 0.4 else 0.0
    lit = np.clip(np.rint(paint * light + haze), 0, 255).astype(np.uint8)
    made = Image.fromarray(lit)
    # Letters of plates are narrower than those of most fonts.
    narrow = float(np.exp(rng.uniform(-0.5, 0.1)))
    size = max(8, round(narrow * made.width * HEIGHT / made.height)), HEIGHT
    return np.asarray(made.resize(size, Image.Resampling.BILINEAR), dtype=np.uint8)
