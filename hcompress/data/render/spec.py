"""The rendered-text spec: a TOML file with strict keys."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from hcompress.charset import check_characters, read_charset
from hcompress.errors import InputRefused
from hcompress.strict.schema import Param
from hcompress.strict.toml import read_file, read_toml

MAX_LENGTH = 24
"""Longer lines are not legible in 48x160 and don't fit the recogniser's 25 steps."""
LONGEST = 64
"""Characters of a line as wide as its text."""
WIDEST = 640
"""Pixels across, of everyday lines whose spec does not say."""
CHARSETS = {
    "latin": string.ascii_letters + string.digits + string.punctuation,
    "printable": string.ascii_letters + string.digits + string.punctuation + " ",
    "alphanumeric": string.ascii_letters + string.digits,
    "digits": string.digits,
}


Share = Annotated[float, Param(minimum=0, maximum=1)]


class Mode(StrEnum):
    LINES = "lines"
    GLYPHS = "glyphs"
    EVERYDAY = "everyday"
    """Lines as people photograph them, as wide as their text."""


class Split(StrEnum):
    TRAIN = "train"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class Degradation:
    """Strengths from 0 (never) to 1 (as strong as still reads): how often and how much."""

    blur: Share = 0.0
    noise: Share = 0.0
    low_contrast: Share = 0.0
    geometry: Share = 0.0
    """Rotation, shear and perspective."""
    jpeg: Share = 0.0
    clutter: Share = 0.0
    """Strokes, edges and texture behind the text."""
    low_resolution: Share = 0.0
    uneven_light: Share = 0.0
    colour: Share = 0.0
    """Coloured text and ground rather than greys."""
    letterforms: Share = 0.0
    """Letters wider, narrower, bolder, thinner, leaning and bent: one font for many. Training
    lines alone gain by it."""


@dataclass(frozen=True)
class SpecFile:
    """What a spec file says."""

    seed: Annotated[int, Param(minimum=0, maximum=2**63 - 1)]
    count: Annotated[int, Param(minimum=1, maximum=10**9)]
    mode: Mode = Mode.LINES
    charset: str = "latin"
    """latin, printable (latin and the space), alphanumeric, digits, or a charset file's path
    relative to the spec."""
    fonts: Split = Split.TRAIN
    min_length: int = 3
    max_length: int = 12
    words: Share = 0.5
    """Share of lines that are words, numbers and dates; the others are random strings."""
    rare: str = ""
    """Characters that random strings draw at a quarter of the others' rate: those that only
    context tells apart, as l, I and | in many fonts."""
    even: bool = False
    """Every character as often as any other, whatever the fonts have: the text is drawn first,
    then a face that has all of it. Words are Chinese ones, with numbers and Latin words."""
    glyph_width: Annotated[int, Param(minimum=16, maximum=160)] = 48
    """Pixels across, of single characters. Ideographs in lines are squeezed: 32 is nearer to how
    they will look, and a third less work."""
    max_width: Annotated[int | None, Param(minimum=80, maximum=4096)] = None
    """Lines are as wide as their text, up to this; without it they are squeezed to 160, or
    padded. Everyday lines go to 640 without it."""
    debian_fonts: bool = True
    """False: only fonts that pip installs, two Chinese families: the same on every machine."""
    degradation: Degradation = field(default_factory=Degradation)

    def __post_init__(self) -> None:
        longest = MAX_LENGTH if self.widest is None else LONGEST
        if not 1 <= self.min_length <= self.max_length <= longest:
            raise InputRefused(
                f"min_length = {self.min_length}, max_length = {self.max_length};"
                f" 1 <= min_length <= max_length <= {longest}"
            )
        if self.mode is Mode.GLYPHS and self.max_width is not None:
            raise InputRefused("max_width: it is for lines; single characters have glyph_width")

    @property
    def widest(self) -> int | None:
        """Pixels across that lines may take as their text needs; None: 160, padded."""
        if self.max_width is None and self.mode is Mode.EVERYDAY:
            return WIDEST
        return self.max_width


@dataclass(frozen=True)
class TextSpec(SpecFile):
    """What is rendered. Equal specs, fonts and charsets give equal images."""

    characters: tuple[str, ...] = ()
    """Those of ``charset``."""

    def canonical(self) -> dict[str, Any]:
        """What decides the images, without the charset's path: its characters are there."""
        raw = dataclasses.asdict(self)
        raw.pop("charset")
        # Younger than data that has been published: where it says nothing, its digest stays.
        for table, key, silent in (
            (raw, "even", False),
            (raw, "glyph_width", 48),
            (raw, "max_width", None),
            (raw, "debian_fonts", True),
            (raw["degradation"], "letterforms", 0.0),
        ):
            if table[key] == silent:
                table.pop(key)
        return raw


def read_spec(path: Path) -> TextSpec:
    """Read and check a spec. Raises InputRefused naming the file, the key and what is allowed."""
    return make_spec(read_spec_file(path), path.parent, str(path))


def read_spec_file(path: Path) -> dict[str, Any]:
    """The file's table, unread. Raises InputRefused if it is no TOML."""
    return read_toml(path, "rendered-text spec", InputRefused)


def make_spec(raw: Mapping[str, Any], folder: Path, where: str = "spec") -> TextSpec:
    """A spec from its TOML table. Raises InputRefused."""
    file = read_file(SpecFile, raw, where, refuse=InputRefused)
    try:
        characters = _characters(file.charset, folder)
    except InputRefused as error:
        raise InputRefused(f"{where}: {error}") from None
    return TextSpec(**vars(file), characters=characters)


def _characters(charset: str, folder: Path) -> tuple[str, ...]:
    named = CHARSETS.get(charset)
    if named is not None:
        characters = tuple(named)
        check_characters(characters)
        return characters
    path = folder / charset
    if not path.is_file():
        known = ", ".join(CHARSETS)
        raise InputRefused(f"charset {charset!r} is neither one of {known} nor a file beside it")
    return read_charset(path)
