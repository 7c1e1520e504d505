"""What a file made of a foreign recogniser says of itself: format 3 of the header.

The classes are not written where the file says them already, as PP-OCR's do under `character`.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from hcompress.errors import InputRefused
from hcompress.spec.foreign import Answers, ForeignSpec, ImageInput
from hcompress.spec.header import Provenance
from hcompress.strict.json import strict_json
from hcompress.strict.read import read, take_version
from hcompress.strict.schema import Param
from hcompress.strict.write import plain

FOREIGN: Final = 3
"""The header's format."""
CHARACTERS: Final = "character"
"""The key under which PP-OCR's files hold their characters, one a line."""
MOST_CLASSES: Final = 1_114_112
_MOST_BYTES: Final = 32 << 20
_OPTIONAL: Final = ("dropped", "origin")
"""Keys that are not written if there is nothing to say."""


@dataclass(frozen=True)
class _Written:
    """A `ForeignSpec` as it is written."""

    count: Annotated[int, Param("how many classes", 2, MOST_CLASSES)]
    classes: str | None
    blank: Annotated[int, Param(minimum=0, maximum=MOST_CLASSES)]
    answers: Answers
    time_first: bool
    image: ImageInput
    preprocessing: str
    source: str
    dropped: str | None = None
    origin: str | None = None


@dataclass(frozen=True)
class ForeignHeader:
    """A header of format 3, read."""

    spec: ForeignSpec
    classifier: Mapping[str, Any] | None
    """How the classes are stored, for those who wrote it to read."""
    provenance: Provenance


@dataclass(frozen=True)
class _Header:
    foreign: Mapping[str, Any]
    provenance: Provenance


def listed(lines: Sequence[str], count: int, blank: int) -> tuple[str, ...] | None:
    """``count`` classes from a list without blank: as it is, or with PP-OCR's space at its end.

    The list may hold a place for the blank, whatever it is called. None if the count is another.
    """
    own = list(lines)
    if len(own) == count and 0 <= blank < count:
        own[blank] = ""
        return tuple(own)
    if len(own) == count - 2:
        own.append(" ")
    if len(own) != count - 1:
        return None
    own.insert(blank, "")
    return tuple(own)


def lines_of(text: str) -> list[str]:
    """The lines of a text, whatever ends them; none for a break at the very end.

    A class may be a character that `str.splitlines` takes for a break.
    """
    lines = text.removeprefix("\ufeff").split("\n")
    if lines and lines[-1] in ("", "\r"):
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def spec_to_dict(spec: ForeignSpec, character: str | None = None) -> dict[str, Any]:
    """The spec as JSON holds it. ``character``: what the file says under that key already."""
    said = None
    if character is not None:
        said = listed(lines_of(character), len(spec.classes), spec.blank)
    made = dict(
        plain(
            _Written(
                len(spec.classes),
                None if said == spec.classes else _packed(spec.classes),
                spec.blank,
                spec.answers,
                spec.time_first,
                spec.image,
                spec.preprocessing,
                spec.source,
                _packed_numbers(sorted(spec.dropped)) if spec.dropped else None,
                None if spec.origin is None else _packed_numbers(spec.origin),
            )
        )
    )
    return {key: one for key, one in made.items() if one is not None or key not in _OPTIONAL}


def spec_from_dict(raw: object, character: str | None, where: str) -> ForeignSpec:
    """The inverse of `spec_to_dict`. Raises InputRefused, naming ``where``, on anything else."""
    found = read(_Written, raw, where)
    if found.blank >= found.count:
        raise InputRefused(f"{where}: blank = {found.blank}: there are {found.count} classes")
    if found.classes is not None:
        classes = _unpacked(found.classes, f"{where}: classes")
    else:
        listing = lines_of(character or "")
        classes = listed(listing, found.count, found.blank) or ()
    check_classes(classes, found.count, found.blank, where)
    return ForeignSpec(
        classes,
        found.blank,
        found.answers,
        found.time_first,
        found.image,
        found.preprocessing,
        found.source,
        frozenset(_dropped(found, where)),
        _origin(found, where),
    )


def _dropped(found: _Written, where: str) -> tuple[int, ...]:
    if found.dropped is None:
        return ()
    numbers = _unpacked_numbers(found.dropped, f"{where}: dropped")
    if any(not 0 <= one < found.count or one == found.blank for one in numbers):
        raise InputRefused(f"{where}: dropped: a class that there is not, or the blank")
    return numbers


def _origin(found: _Written, where: str) -> tuple[int, ...] | None:
    if found.origin is None:
        return None
    numbers = _unpacked_numbers(found.origin, f"{where}: origin")
    if len(numbers) != found.count or any(not -1 <= one < MOST_CLASSES for one in numbers):
        raise InputRefused(f"{where}: origin: no place for each of {found.count} classes")
    return numbers


def check_classes(classes: Sequence[str], count: int, blank: int, where: str) -> None:
    """Raises InputRefused unless there are ``count``, and only the blank is empty."""
    if len(classes) != count:
        raise InputRefused(f"{where}: {len(classes)} classes where there must be {count}")
    empty = next((i for i, one in enumerate(classes) if (one == "") != (i == blank)), None)
    if empty is not None:
        raise InputRefused(
            f"{where}: class {empty} must {'' if empty == blank else 'not '}be empty"
        )
    if any(0xD800 <= ord(c) <= 0xDFFF for one in classes for c in one):
        raise InputRefused(f"{where}: a lone surrogate in a class")


def header_from(raw: object, character: str | None, where: str) -> ForeignHeader:
    """A header's JSON, read. ``character``: what the file says under that key.

    Raises InputRefused, naming ``where``, on anything that `header_json` does not write.
    """
    _, rest = take_version(raw, "format", (FOREIGN,), where)
    header = read(_Header, rest, where)
    own = dict(header.foreign)
    classifier = own.pop("classifier", None)
    if classifier is not None and not isinstance(classifier, dict):
        raise InputRefused(f"{where}: foreign.classifier must be a table of keys")
    spec = spec_from_dict(own, character, f"{where}: foreign")
    return ForeignHeader(spec, classifier, header.provenance)


def header_json(
    spec: ForeignSpec,
    provenance: Provenance,
    classifier: Mapping[str, Any] | None = None,
    character: str | None = None,
) -> str:
    """What `header_from` reads back: the same bytes for the same contents, always."""
    foreign = spec_to_dict(spec, character)
    if classifier is not None:
        foreign["classifier"] = plain(classifier)
    return json.dumps(
        {"format": FOREIGN, "foreign": foreign, "provenance": plain(provenance)},
        sort_keys=True,
        separators=(",", ":"),
    )


def _packed(classes: Iterable[str]) -> str:
    return _deflated(json.dumps(list(classes), ensure_ascii=False, separators=(",", ":")))


def _unpacked(packed: str, where: str) -> tuple[str, ...]:
    return read(tuple[str, ...], strict_json(_inflated(packed, where), where), where)


def _packed_numbers(numbers: Sequence[int]) -> str:
    """Whole numbers by their steps, which repeat."""
    steps = [one - before for before, one in zip((0, *numbers), numbers, strict=False)]
    return _deflated(json.dumps(steps, separators=(",", ":")))


def _unpacked_numbers(packed: str, where: str) -> tuple[int, ...]:
    steps = read(tuple[int, ...], strict_json(_inflated(packed, where), where), where)
    if len(steps) > MOST_CLASSES:
        raise InputRefused(f"{where}: {len(steps):,} numbers")
    return tuple(itertools.accumulate(steps))


def _deflated(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode("ascii")


def _inflated(packed: str, where: str) -> bytes:
    try:
        inflater = zlib.decompressobj()
        data = inflater.decompress(base64.b64decode(packed, validate=True), _MOST_BYTES)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InputRefused(f"{where}: {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise InputRefused(f"{where}: cut short or followed by something else")
    return data
