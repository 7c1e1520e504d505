"""Lines of any list of characters, each as often as the others: what a charset is measured on."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np

from hcompress.data.render.fonts import FIRST_CJK, coverage, faces
from hcompress.data.render.source import RenderedSource
from hcompress.data.render.spec import WIDEST, Degradation, Mode, Split, TextSpec
from hcompress.errors import InputRefused

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource, Sample


LENGTHS: Final = (4, 10)
PHOTOGRAPHED: Final = Degradation(
    blur=0.5,
    noise=0.5,
    low_contrast=0.3,
    geometry=0.5,
    jpeg=0.4,
    clutter=0.5,
    low_resolution=0.4,
    uneven_light=0.5,
    colour=0.5,
)
"""As the recipes' data has it."""


def charset_lines(
    characters: Sequence[str],
    count: int,
    seed: int,
    split: Split,
    degradation: Degradation = PHOTOGRAPHED,
) -> DataSource:
    """``count`` lines of 4 to 10 of these characters, 48 high and as wide as they need.

    Each character is drawn about as often as any other. Those that no face of the split draws
    are left out, and so are classes that are not one character, and white space. Chinese faces
    draw all that they can; what they lack is drawn by others, in lines of its own. Only fonts
    that pip installs are used. Raises InputRefused if no character is left, EnvironmentFailed
    where a font's package is missing.
    """
    parts = list(_parts(characters, split))
    if not parts:
        raise InputRefused(f"charset: no {split} font draws any of its {len(characters)} classes")
    shares = _shares([len(part) for part in parts], count)
    return CharsetLines(
        tuple(
            RenderedSource(_spec(part, share, seed + place, split, degradation))
            for place, (part, share) in enumerate(zip(parts, shares, strict=True))
            if share
        ),
        seed,
    )


@dataclass(frozen=True)
class CharsetLines:
    """Several rendered sources as one, shuffled among each other."""

    dealt: ClassVar[bool] = True
    sources: tuple[RenderedSource, ...]
    seed: int

    @property
    def characters(self) -> tuple[str, ...]:
        """Those that its lines are made of."""
        return tuple(c for source in self.sources for c in source.spec.characters)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over the sources' digests."""
        whole = hashlib.sha256(b"hcompress charset lines 1\n")
        for text in (str(self.seed), *(source.digest for source in self.sources)):
            whole.update(text.encode() + b"\n")
        return whole.hexdigest()

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        place = self._order[index]
        for source in self.sources:
            if place < len(source):
                return source[place]
            place -= len(source)
        raise IndexError(index)

    @functools.cached_property
    def _order(self) -> list[int]:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, len(self)])))
        return [int(place) for place in rng.permutation(len(self))]


def _parts(characters: Sequence[str], split: Split) -> Iterator[tuple[str, ...]]:
    """The characters, each with the first face that draws it: Chinese faces are asked first."""
    left = dict.fromkeys(c for c in characters if len(c) == 1 and not c.isspace())
    offered = faces(split, left, debian=False)
    wide = [face for face in offered if face not in faces(split, "", debian=False)]
    for face in (*wide, *(face for face in offered if face not in wide)):
        covered = coverage(face)
        drawn = tuple(c for c in left if c in covered)
        # A part without an ideograph would not be offered the Chinese faces.
        if drawn and (face not in wide or max(drawn) >= FIRST_CJK):
            yield drawn
            left = {c: None for c in left if c not in covered}


def _spec(
    characters: tuple[str, ...], count: int, seed: int, split: Split, degradation: Degradation
) -> TextSpec:
    least, most = LENGTHS
    return TextSpec(
        seed=seed,
        count=count,
        mode=Mode.LINES,
        fonts=split,
        min_length=least,
        max_length=most,
        words=0.0,
        even=True,
        max_width=WIDEST,
        debian_fonts=False,
        degradation=degradation,
        characters=characters,
    )


def _shares(sizes: Sequence[int], count: int) -> list[int]:
    """``count`` lines by the parts' sizes, so that they add up."""
    ends = np.rint(np.cumsum(sizes) * (count / sum(sizes))).astype(int)
    return [int(share) for share in np.diff(ends, prepend=0)]
