"""The one reader of structured input: parsed TOML, JSON or options to a dataclass, or one line.

Nothing is coerced: true is no number, "3" is no 3, and a key nobody knows is refused with the
nearest that somebody does. What a value means beside its type and bounds is for the dataclass to
check, in `__post_init__`, by raising any HcompressError: the reader says where it stood.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import types
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from hcompress.errors import HcompressError, InputRefused
from hcompress.strict.schema import TAG, Shape, fields_of, shape_of, tag_of
from hcompress.strict.show import brief, huge, show, suggest

_TABLE: Final = "a table of keys"
_NOUNS: Final[Mapping[type, tuple[str, str]]] = {
    bool: ("true or false", "true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    Decimal: ("a number", "numbers"),
    str: ("a string", "strings"),
    Path: ("a path", "paths"),
    dict: (_TABLE, "tables"),
    list: ("a list", "lists"),
    tuple: ("a list", "lists"),
}
_NUMBERS: Final = (int, float, Decimal)
_BARE: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")
T = TypeVar("T")
_At = tuple[str | int, ...]
"""Keys and indices from the top to a value."""


def read(
    kind: type[T],
    raw: object,
    where: str,
    refuse: type[HcompressError] = InputRefused,
    *,
    base: Path | None = None,
    only_known: bool = True,
) -> T:
    """``raw`` as a ``kind``: a dataclass, or whatever its field can be.

    Raises ``refuse``: one line that begins with ``where``.
    ``base``: what relative paths are relative to. ``only_known`` False passes over keys that no
    field has: of a file that holds more than is asked of it.
    """
    made: T = _Reader(where, refuse, base, only_known).value(shape_of(kind), raw, ())
    return made


def change(
    value: T,
    raw: Mapping[str, Any],
    where: str,
    refuse: type[HcompressError] = InputRefused,
    *,
    base: Path | None = None,
) -> T:
    """``value``, a dataclass, with the fields that ``raw`` names as `read` would have them."""
    reader = _Reader(where, refuse, base, only_known=True)
    kind: Any = type(value)
    old = {entry.name: getattr(value, entry.name) for entry in fields_of(kind)}
    made: T = reader.made(kind, {**old, **reader.given(kind, raw, ())}, ())
    return made


def take_version(
    raw: object,
    key: str,
    known: Collection[int],
    where: str,
    refuse: type[HcompressError] = InputRefused,
) -> tuple[int, dict[str, Any]]:
    """The version that ``raw`` says it is written in, and the rest of it.

    To be asked first: another version has other keys. Raises ``refuse`` unless it is ``known``.
    """
    if not isinstance(raw, Mapping):
        raise refuse(f"{where}: must be {_TABLE}")
    rest = dict(raw)
    version = rest.pop(key, None)
    reads = f"this hcompress reads {', '.join(map(str, sorted(known)))} only"
    if version is None:
        near = next((other for other in rest if "did you" in suggest(other, [key], "")), None)
        meant = "" if near is None else f"; {brief(near)} is there: did you mean it?"
        raise refuse(f"{where}: {key} is missing{meant or ': ' + reads}")
    if type(version) is not int or version not in known:
        raise refuse(f"{where}: {key} = {show(version)}: {reads}")
    return version, rest


@dataclass(frozen=True)
class _Reader:
    """One reading: what an error of it begins with, and what is allowed."""

    where: str
    refuse: type[HcompressError]
    base: Path | None
    only_known: bool

    def value(self, shape: Shape, raw: object, at: _At) -> Any:
        """``raw`` as its ``shape`` has it."""
        if raw is None and shape.optional:
            return None
        base = shape.base
        if base is object:
            return raw
        if base in (tuple, list):
            return self._sequence(shape, raw, at)
        if base is dict:
            table, inner = self._table(raw, at), shape.inner[0]
            return {key: self.value(inner, entry, (*at, key)) for key, entry in table.items()}
        if base is types.UnionType or dataclasses.is_dataclass(base):
            return self._dataclass(shape, raw, at)
        return self._scalar(shape, raw, at)

    def given(self, kind: Any, raw: Mapping[str, Any], at: _At) -> dict[str, Any]:
        """The fields that ``raw`` holds, by their names. Refuses keys that none has."""
        known = {entry.key: entry for entry in fields_of(kind)}
        if self.only_known:
            for key in raw:
                if key not in known:
                    place = _dotted((*at, key), quote=True)
                    hint = suggest(key, known, "keys")
                    raise self.refuse(f"{self.where}: unknown key {place}{hint}")
        return {
            known[key].name: self.value(known[key].shape, entry, (*at, key))
            for key, entry in raw.items()
            if key in known
        }

    def made(self, kind: type[T], values: Mapping[str, Any], at: _At) -> T:
        """The dataclass of these fields, checked by itself."""
        try:
            return kind(**values)
        except HcompressError as error:
            place = f"{_dotted(at)}: " if at else ""
            raise self.refuse(f"{self.where}: {place}{error}") from None

    def _dataclass(self, shape: Shape, raw: object, at: _At) -> Any:
        table = self._table(raw, at)
        arms = shape.inner or (shape,)
        tags = {tag_of(arm.base): arm.base for arm in arms}
        kind = tags.get(None)
        if kind is None:
            tag, table = table.get(TAG), {key: table[key] for key in table if key != TAG}
            kind = tags.get(tag) if isinstance(tag, str) else None
        if kind is None:
            hint = suggest(tag, map(str, tags), "one of")
            said = "is missing" if tag is None else f"= {show(tag)}"
            raise self.refuse(f"{self.where}: {_dotted((*at, TAG))} {said}{hint}")
        values = self.given(kind, table, at)
        for entry in fields_of(kind):
            if entry.required and entry.name not in values:
                about = f": {entry.param.help}" if entry.param.help else ""
                raise self.refuse(f"{self.where}: {_dotted((*at, entry.key))} is missing{about}")
        return self.made(kind, values, at)

    def _table(self, raw: object, at: _At) -> Mapping[str, Any]:
        if not isinstance(raw, Mapping):
            raise self._fault(raw, at, _TABLE)
        return raw

    def _sequence(self, shape: Shape, raw: object, at: _At) -> Any:
        inner, fixed = shape.inner, shape.fixed
        if not isinstance(raw, list | tuple) or (fixed and len(raw) != len(inner)):
            plural = _NOUNS.get(inner[0].base, ("", "tables"))[1]
            raise self._fault(raw, at, f"a list of {len(inner) if fixed else plural}")
        shapes = inner if fixed else inner * len(raw)
        found = (
            self.value(one, entry, (*at, _called(one, entry, index)))
            for index, (one, entry) in enumerate(zip(shapes, raw, strict=True))
        )
        return shape.base(found)

    def _scalar(self, shape: Shape, raw: object, at: _At) -> Any:
        kind = shape.base
        if issubclass(kind, StrEnum):
            if not isinstance(raw, str) or raw not in shape.choices:
                hint = suggest(raw, shape.choices, "one of")
                raise self._wrong(raw, at, hint)
            return kind(raw)
        if kind is Path:
            return self._path(raw, at)
        value, bounds = _number(kind, raw), shape.bounds_text
        if kind in _NUMBERS and (huge(raw) or (type(value) is kind and _outside(shape, value))):
            raise self._fault(raw, at, bounds or ("smaller" if huge(raw) else "finite"))
        if type(value) is not kind:
            raise self._fault(raw, at, _NOUNS[kind][0] + (f", {bounds}" if bounds else ""))
        return value

    def _path(self, raw: object, at: _At) -> Path:
        if not isinstance(raw, str | Path):
            raise self._fault(raw, at, "a path")
        try:
            if not str(raw) or b"\0" in os.fsencode(raw):
                raise ValueError
            path = Path(raw).expanduser()
        except (ValueError, RuntimeError):  # what no file system can spell; nobody's home
            raise self._wrong(raw, at, ": not a path") from None
        return path if self.base is None else self.base / path

    def _fault(self, raw: object, at: _At, must: str) -> HcompressError:
        return self._wrong(raw, at, f": must be {must}")

    def _wrong(self, raw: object, at: _At, what: str) -> HcompressError:
        place = f"{_dotted(at)} = {show(raw)}" if at else f"is {show(raw)}"
        return self.refuse(f"{self.where}: {place}{what}")


def _number(kind: type, raw: object) -> object:
    """A whole number as a float, and any number as a Decimal, if that is what is asked for."""
    if huge(raw):
        return raw
    if kind is float and type(raw) is int:
        return float(raw)
    if kind is Decimal and type(raw) in (int, float):
        return Decimal(repr(raw))  # as it was printed, and as people compare it
    return raw


def _outside(shape: Shape, value: Any) -> bool:
    """Whether a number is out of bounds, or none that can be compared."""
    low, high = shape.param.minimum, shape.param.maximum
    if not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
        return shape.param.finite
    return (low is not None and value < low) or (high is not None and value > high)


def _called(shape: Shape, entry: object, index: int) -> str | int:
    """How an error calls an element of a list: by the text it needs first, as a name; by index."""
    if isinstance(entry, Mapping) and dataclasses.is_dataclass(shape.base):
        kind: Any = shape.base
        first = next((field for field in fields_of(kind) if field.required), None)
        if first is not None and first.shape.base is str and isinstance(entry.get(first.key), str):
            return str(entry[first.key])
    return index


def _dotted(at: _At, quote: bool = False) -> str:
    """`stage.parent`, `seeds[2]`, `files."a.b"`."""
    parts = [
        f"[{part}]"
        if isinstance(part, int)
        else "." + (part if _BARE.fullmatch(part) else brief(part))
        for part in at
    ]
    text = "".join(parts).removeprefix(".")
    return f'"{text}"' if quote and '"' not in text else text
