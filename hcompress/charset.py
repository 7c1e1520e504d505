"""Charsets: which characters, in which order, in a file and packed into a header. Torch-free."""

from __future__ import annotations

import base64
import binascii
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from hcompress.errors import InputRefused, UsageError
from hcompress.stand_in import stand_in

MAX_CHARACTERS = 1_114_112
MOST_PAIRS = 100
"""Characters that are equal, as pairs: an error names no more."""
MAX_FILE = 8 << 20
"""Bytes of a charset file: every character there is, and line breaks, take less."""


class UnknownCharacter(StrEnum):
    """What a line does whose label has a character outside the charset, or that can't be read."""

    REFUSE = "refuse"
    """Stop, naming every such label before anything is learnt."""
    SKIP_LINE = "skip-line"
    """Leave the line out of training; in evaluation a line counts, and can't be read right."""


_INKLESS = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Me", "Mn", "Zl", "Zp", "Zs"))


def is_inkless(character: str) -> bool:
    """Whether nothing in an image is this character alone: white space, controls, what joins or
    directs others, and marks that stand on another character."""
    return unicodedata.category(character) in _INKLESS


def named(characters: Iterable[str], most: int = 20) -> str:
    """Characters as an error names them, each with its code point; the rest are counted."""
    every = list(characters)
    shown = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in every[:most])
    more = len(every) - most
    return shown if more <= 0 else f"{shown} and {more:,} more"


def check_characters(characters: tuple[str, ...]) -> None:
    """Raise InputRefused for an empty charset, a byte order mark, anything that is not one code
    point, and characters that are equal or equal after NFC; all pairs are named."""
    if not characters:
        raise InputRefused("charset: empty")
    if len(characters) > MAX_CHARACTERS:
        raise InputRefused(f"charset: {len(characters)} characters; Unicode has fewer")
    if _plainly_fine(characters):
        return
    for place, character in enumerate(characters):
        if len(character) != 1:
            raise InputRefused(f"charset: entry {place} is not one code point: {character!r}")
        if character == "\ufeff":
            raise InputRefused(f"charset: a byte order mark (U+FEFF) at place {place}")
        if 0xD800 <= ord(character) <= 0xDFFF:
            raise InputRefused(f"charset: a lone surrogate (U+{ord(character):04X}) at {place}")
    _check_distinct(characters)


def _check_distinct(characters: tuple[str, ...]) -> None:
    """All pairs in one error: nobody should mend a charset a pair at a time."""
    seen: dict[str, tuple[int, str]] = {}
    pairs: list[str] = []
    for place, character in enumerate(characters):
        normal = unicodedata.normalize("NFC", character)
        first, other = seen.setdefault(normal, (place, character))
        if first != place:
            how = "twice" if other == character else "equal after NFC"
            pairs.append(
                f"{how}: {other!r} (U+{ord(other):04X}, place {first}) and"
                f" {character!r} (U+{ord(character):04X}, place {place})"
            )
    if pairs:
        more = len(pairs) - MOST_PAIRS
        also = f"; and {more:,} pairs more" if more > 0 else ""
        raise InputRefused("charset: " + "; ".join(pairs[:MOST_PAIRS]) + also)


def _plainly_fine(characters: tuple[str, ...]) -> bool:
    """Found out for all at once, which takes a tenth of the time: what is NFC as a whole is so
    in every part, and different characters that are NFC are not equal after it."""
    text, distinct = "".join(characters), set(characters)
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return (
        len(text) == len(characters) == len(distinct)
        and "" not in distinct  # so that each is one code point, as their number is
        and "\ufeff" not in distinct
        and unicodedata.is_normalized("NFC", text)
    )


def read_charset(path: Path) -> tuple[str, ...]:
    """The characters of a UTF-8 text file, in order; line breaks are ignored."""
    if not path.is_file():
        raise UsageError(f"{path}: no such charset file")
    if path.stat().st_size > MAX_FILE:
        raise InputRefused(f"{path}: larger than {MAX_FILE >> 20} MiB: not a charset")
    try:
        data = path.read_bytes()
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputRefused(f"{path}: not UTF-8 at byte {error.start}") from None
    if (what := stand_in(data)) is not None:
        raise InputRefused(f"{path}: {what}")
    characters = tuple(c for c in text if c not in "\r\n")
    try:
        check_characters(characters)
    except InputRefused as error:
        raise InputRefused(f"{path}: {error}") from None
    return characters


def pack_charset(characters: Sequence[str]) -> str:
    """Characters in order as a short ASCII string: zigzag varint code point steps, zlib, base64."""
    steps = bytearray()
    last = 0
    for character in characters:
        step = ord(character) - last
        last = ord(character)
        number = (step << 1) ^ (step >> 31)
        while number >= 0x80:
            steps.append(number & 0x7F | 0x80)
            number >>= 7
        steps.append(number)
    return base64.b64encode(zlib.compress(bytes(steps), 9)).decode("ascii")


def unpack_charset(packed: str) -> tuple[str, ...]:
    """The inverse of `pack_charset`. Raises InputRefused on anything else."""
    try:
        inflater = zlib.decompressobj()
        steps = inflater.decompress(base64.b64decode(packed, validate=True), MAX_CHARACTERS * 4)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InputRefused(f"packed charset: {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise InputRefused("packed charset: cut short or followed by something else")
    return _unpack_steps(steps)


def _unpack_steps(steps: bytes) -> tuple[str, ...]:
    """All at once: a number at a time took a fifth of a model's loading."""
    import numpy as np

    data = np.frombuffer(steps, np.uint8)
    if not len(data):
        return ()
    ends = np.flatnonzero(data < 0x80)
    if not len(ends) or ends[-1] != len(data) - 1:
        raise InputRefused("packed charset: cut short")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 5:
        raise InputRefused("packed charset: a step is too long")
    places = np.arange(len(data)) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((data & 0x7F).astype(np.int64) << 7 * places, starts)
    points = np.cumsum((numbers >> 1) ^ -(numbers & 1))
    if points.min() < 0 or points.max() >= MAX_CHARACTERS:
        raise InputRefused("packed charset: a code point outside Unicode")
    return tuple(points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass"))
