"""The rendered-text spec: a TOML file with strict keys."""

from __future__ import annotations

import dataclasses
import difflib
import math
import string
import tomllib
import typing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from hcompress.charset import check_characters, read_charset
from hcompress.errors import InputRefused, UsageError

SCHEMA_VERSION = 1
MAX_FILE = 1 << 20
MAX_LENGTH = 24
"""Longer lines are not legible in 48x160 and don't fit the recogniser's 25 steps."""
CHARSETS = {
    "latin": string.ascii_letters + string.digits + string.punctuation,
    "alphanumeric": string.ascii_letters + string.digits,
    "digits": string.digits,
}


class Mode(StrEnum):
    LINES = "lines"
    GLYPHS = "glyphs"


class Split(StrEnum):
    TRAIN = "train"
    UNSEEN = "unseen"


@dataclass(frozen=True)
class Degradation:
    """Strengths from 0 (never) to 1 (as strong as still reads): how often and how much."""

    blur: float = 0.0
    noise: float = 0.0
    low_contrast: float = 0.0
    geometry: float = 0.0
    """Rotation, shear and perspective."""
    jpeg: float = 0.0
    clutter: float = 0.0
    """Strokes, edges and texture behind the text."""
    low_resolution: float = 0.0
    uneven_light: float = 0.0
    colour: float = 0.0
    """Coloured text and ground rather than greys."""
    letterforms: float = 0.0
    """Letters wider, narrower, bolder, thinner, leaning and bent: one font for many. Training
    lines alone gain by it."""


@dataclass(frozen=True)
class TextSpec:
    """What is rendered. Equal specs, fonts and charsets give equal images."""

    seed: int
    count: int
    mode: Mode = Mode.LINES
    charset: str = "latin"
    """latin, alphanumeric, digits, or a charset file's path relative to the spec."""
    fonts: Split = Split.TRAIN
    min_length: int = 3
    max_length: int = 12
    words: float = 0.5
    """Share of lines that are words, numbers and dates; the others are random strings."""
    rare: str = ""
    """Characters that random strings draw at a quarter of the others' rate: those that only
    context tells apart, as l, I and | in many fonts."""
    even: bool = False
    """Every character as often as any other, whatever the fonts have: the text is drawn first,
    then a face that has all of it. Words are Chinese ones, with numbers and Latin words."""
    glyph_width: int = 48
    """Pixels across, of single characters. Ideographs in lines are squeezed: 32 is nearer to how
    they will look, and a third less work."""
    degradation: Degradation = field(default_factory=Degradation)
    characters: tuple[str, ...] = ()
    """Filled in from ``charset``."""

    def canonical(self) -> dict[str, Any]:
        """What decides the images, without the charset's path: its characters are there."""
        raw = dataclasses.asdict(self)
        raw.pop("charset")
        # Younger than data that has been published: where it says nothing, its digest stays.
        for table, key, silent in (
            (raw, "even", False),
            (raw, "glyph_width", 48),
            (raw["degradation"], "letterforms", 0.0),
        ):
            if table[key] == silent:
                table.pop(key)
        return raw


def read_spec(path: Path) -> TextSpec:
    """Read and check a spec. Raises InputRefused naming the file, the key and what is allowed."""
    if not path.is_file():
        raise UsageError(f"{path}: no such rendered-text spec")
    if path.stat().st_size > MAX_FILE:
        raise InputRefused(f"{path}: larger than {MAX_FILE >> 20} MiB: not a rendered-text spec")
    try:
        raw = tomllib.loads(path.read_bytes().decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputRefused(f"{path}: not TOML: {error}") from None
    try:
        return make_spec(raw, path.parent)
    except InputRefused as error:
        raise InputRefused(f"{path}: {error}") from None


def make_spec(raw: dict[str, Any], folder: Path) -> TextSpec:
    """A spec from its TOML table. Raises InputRefused."""
    raw = dict(raw)
    version = raw.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise InputRefused(f"schema_version is {version!r}; this release reads {SCHEMA_VERSION}")
    strengths = raw.pop("degradation", {})
    if not isinstance(strengths, dict):
        raise InputRefused("degradation must be a table")
    values = _read_keys(TextSpec, raw, hidden=("characters", "degradation"))
    values["degradation"] = Degradation(**_read_keys(Degradation, strengths, prefix="degradation."))
    for key in ("seed", "count"):
        if key not in values:
            raise InputRefused(f"{key} is missing")
    spec = TextSpec(**values)
    _check(spec)
    return dataclasses.replace(spec, characters=_characters(spec.charset, folder))


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


def _check(spec: TextSpec) -> None:
    if not 0 <= spec.seed < 2**63:
        raise InputRefused(f"seed = {spec.seed}; 0 to 2**63-1")
    if not 1 <= spec.count <= 10**9:
        raise InputRefused(f"count = {spec.count}; 1 to 1,000,000,000")
    if not 1 <= spec.min_length <= spec.max_length <= MAX_LENGTH:
        raise InputRefused(
            f"min_length = {spec.min_length}, max_length = {spec.max_length};"
            f" 1 <= min_length <= max_length <= {MAX_LENGTH}"
        )
    if not 16 <= spec.glyph_width <= 160:
        raise InputRefused(f"glyph_width = {spec.glyph_width}; 16 to 160")
    shares = {"words": spec.words} | {
        f"degradation.{key}": value for key, value in dataclasses.asdict(spec.degradation).items()
    }
    for key, value in shares.items():
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise InputRefused(f"{key} = {value}; 0 to 1")


def _read_keys(
    kind: type[TextSpec] | type[Degradation],
    raw: dict[str, Any],
    hidden: tuple[str, ...] = (),
    prefix: str = "",
) -> dict[str, Any]:
    hints = {k: v for k, v in typing.get_type_hints(kind).items() if k not in hidden}
    values = {}
    for key, value in raw.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; one of {', '.join(hints)}"
            raise InputRefused(f"unknown key {prefix + key!r}{hint}")
        values[key] = _read_value(prefix + key, hints[key], value)
    return values


def _read_value(key: str, hint: Any, value: Any) -> Any:
    if issubclass(hint, StrEnum):
        if value not in list(hint):
            raise InputRefused(f"{key} = {value!r}; one of {', '.join(hint)}")
        return hint(value)
    if hint is float and type(value) in (int, float):
        return float(value)
    if type(value) is hint:
        return value
    raise InputRefused(f"{key} = {value!r}; must be {hint.__name__}")
