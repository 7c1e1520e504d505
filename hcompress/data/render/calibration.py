"""Lines to calibrate a foreign recogniser on if its user gives none: nobody's labels are needed."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from hcompress.data.render.charset_lines import PHOTOGRAPHED, charset_lines
from hcompress.data.render.plates import DIGITS, LETTERS, PlateLines
from hcompress.data.render.rough import RoughLines
from hcompress.data.render.source import RenderedSource
from hcompress.data.render.spec import Mode, Split, TextSpec
from hcompress.errors import InputRefused

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource, Sample

FEWEST: Final = 40
"""Characters without which there are no everyday words, prices and addresses."""
MOST: Final = 40
"""Characters of an everyday line."""


def calibration_lines(characters: Sequence[str], count: int, seed: int) -> DataSource:
    """Everyday lines and lines of all of the model's characters, in training fonts; half rough.

    Half of the rough ones are plates and signs. Models of few characters get lines of these alone,
    and no plates if they lack letters. Raises EnvironmentFailed if the fonts are not installed.
    """
    rough: DataSource = RoughLines(_lines(characters, count, seed + 1), seed)
    if set(LETTERS + DIGITS) <= set(characters):
        plates = RoughLines(PlateLines(tuple(characters), count, seed + 2), seed + 1)
        rough = InTurn(rough, plates, count)
    return InTurn(_lines(characters, count, seed), rough, count)


def _lines(characters: Sequence[str], count: int, seed: int) -> DataSource:
    """In turn, an everyday line and one of all characters."""
    rare = charset_lines(characters, count, seed, Split.TRAIN)
    known = tuple(dict.fromkeys(one for one in (*characters, " ") if _is_common(one)))
    if len(known) < FEWEST:
        return rare
    spec = TextSpec(
        seed=seed,
        count=count,
        mode=Mode.EVERYDAY,
        fonts=Split.TRAIN,
        min_length=1,
        max_length=MOST,
        max_width=640,
        debian_fonts=False,
        degradation=PHOTOGRAPHED,
        characters=known,
    )
    try:
        return InTurn(RenderedSource(spec), rare, count)
    except InputRefused:  # a character that no font draws
        drawn = getattr(charset_lines(known, 1, seed, Split.TRAIN), "characters", ())
        kept = tuple(one for one in known if one in set(drawn) or one == " ")
        everyday = TextSpec(**{**vars(spec), "characters": kept})
        return InTurn(RenderedSource(everyday), rare, count)


def _is_common(one: str) -> bool:
    if len(one) != 1 or (one.isspace() and one != " ") or not one.isprintable():
        return False
    try:
        one.encode("gb2312")
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class InTurn:
    """One of these, one of those, and so on."""

    dealt: ClassVar[bool] = True
    first: DataSource
    second: DataSource
    count: int

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over both sources' digests."""
        text = f"hcompress in turn 1\n{self.count}\n{self.first.digest}\n{self.second.digest}\n"
        return hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return (self.second if index % 2 else self.first)[index // 2]
