"""The one reader of structured input: parsed TOML, JSON or options to a dataclass, or one line.

Nothing is coerced: true is no number, "3" is no 3, and a key nobody knows is refused with the
nearest that somebody does. What a value means beside its type and bounds is for the dataclass to
check, in `__post_init__`, by raising any HcompressError: the reader says where it stood.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from hcompress.errors import HcompressError, InputRefused
from hcompress.strict.files import spelt
from hcompress.strict.schema import TAG, Param, Shape, shape_of, table_of
from hcompress.strict.show import brief, huge, show, suggest

_TABLE: Final = "a table of keys"
_NOUNS: Final[Mapping[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Decimal: "a number",
    str: "a string",
    object: "anything",
    Path: "a path",
    list: "a list",
    tuple: "a list",
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
    old = {entry.name: getattr(value, entry.name) for entry in table_of(kind).fields}
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
        raise refuse(f"{where}: is {show(raw)}: must be {_TABLE}")
    rest = dict(raw)
    version = rest.pop(key, None)
    if type(version) is int and version in known:
        return version, rest
    reads = f"this hcompress reads {', '.join(map(str, sorted(known)))} only"
    if version is not None:
        raise refuse(f"{where}: {key} = {show(version)}: {reads}")
    near = next((other for other in rest if "did you" in suggest(other, [key], "")), None)
    about = f": {reads}" if near is None else f"; {brief(near)} is there: did you mean it?"
    raise refuse(f"{where}: {key} is missing{about}")


@dataclass(frozen=True)
class _Reader:
    """One reading: what an error of it begins with, and what is allowed."""

    where: str
    refuse: type[HcompressError]
    base: Path | None
    only_known: bool

    def value(self, shape: Shape, raw: object, at: _At) -> Any:
        """``raw`` as its ``shape`` has it."""
        base = shape.base
        if base is object or (raw is None and shape.optional):
            return raw
        if base in (tuple, list):
            return self._sequence(shape, raw, at)
        if base is dict:
            name, inner = shape.inner
            table = self._table(raw, at)
            if _plainly(name, table) and _plainly(inner, table.values()):
                return dict(table)
            return {
                self.value(name, key, (*at, key)): self.value(inner, entry, (*at, key))
                for key, entry in table.items()
            }
        if base is types.UnionType or dataclasses.is_dataclass(base):
            return self._dataclass(shape, self._table(raw, at), at)
        return self._scalar(shape, raw, at)

    def given(self, kind: Any, raw: Mapping[str, Any], at: _At) -> dict[str, Any]:
        """The fields that ``raw`` holds, by their names. Refuses keys that none has."""
        known = table_of(kind).by_key
        values = {}
        for key, entry in raw.items():
            if key in known:
                values[known[key].name] = self.value(known[key].shape, entry, (*at, key))
            elif self.only_known:
                place = _dotted((*at, key), quote=True)
                hint = suggest(key, known, "keys")
                raise self.refuse(f"{self.where}: unknown key {place}{hint}")
        return values

    def made(self, kind: type[T], values: Mapping[str, Any], at: _At) -> T:
        """The dataclass of these fields, checked by itself."""
        try:
            return kind(**values)
        except HcompressError as error:
            place = f"{_dotted(at)}: " if at else ""
            raise self.refuse(f"{self.where}: {place}{error}") from None

    def _dataclass(self, shape: Shape, raw: Mapping[str, Any], at: _At) -> Any:
        kind = shape.base
        if shape.inner or table_of(kind).tag is not None:
            kind = self._arm([arm.base for arm in shape.inner or (shape,)], raw, at)
            raw = {key: raw[key] for key in raw if key != TAG}
        values = self.given(kind, raw, at)
        for entry in table_of(kind).by_key.values():
            if entry.required and entry.name not in values:
                about = f": {entry.param.help}" if entry.param.help else ""
                raise self._wrong((*at, entry.key), f"is missing{about}")
        return self.made(kind, values, at)

    def _arm(self, kinds: Sequence[type[Any]], raw: Mapping[str, Any], at: _At) -> type[Any]:
        """The dataclass whose tag ``raw`` has."""
        tag = raw.get(TAG)
        tags = {str(table_of(kind).tag): kind for kind in kinds}
        if isinstance(tag, str) and tag in tags:
            return tags[tag]
        said = "is missing" if tag is None else f"= {show(tag)}"
        raise self._wrong((*at, TAG), f"{said}{suggest(tag, tags, 'one of')}")

    def _table(self, raw: object, at: _At) -> Mapping[str, Any]:
        if not isinstance(raw, Mapping):
            raise self._unlike(raw, at, _TABLE)
        return raw

    def _sequence(self, shape: Shape, raw: object, at: _At) -> Any:
        inner, fixed = shape.inner, shape.fixed
        if not isinstance(raw, list | tuple) or (fixed and len(raw) != len(inner)):
            each = _NOUNS.get(inner[0].base, "a string" if inner[0].choices else _TABLE)
            raise self._unlike(
                raw, at, f"a list of {len(inner)}" if fixed else f"a list, each {each}"
            )
        if not fixed and _plainly(inner[0], raw):
            return shape.base(raw)
        shapes = inner if fixed else inner * len(raw)
        return shape.base(
            self.value(one, entry, (*at, _called(one, entry, index)))
            for index, (one, entry) in enumerate(zip(shapes, raw, strict=True))
        )

    def _scalar(self, shape: Shape, raw: Any, at: _At) -> Any:
        kind = shape.base
        if issubclass(kind, StrEnum):
            if raw not in shape.choices:
                raise self._wrong(at, f"= {show(raw)}{suggest(raw, shape.choices, 'one of')}")
            return kind(raw)
        if kind is Path:
            return self._path(raw, at)
        if isinstance(raw, str) and shape.param.written is not None:
            said = shape.param.written(raw)
            if said is None:
                raise self._unlike(raw, at, shape.param.help)
            return self._scalar(dataclasses.replace(shape, param=_bounds(shape.param)), said, at)
        value = _number(kind, raw)
        if kind in _NUMBERS and (huge(raw) or _outside(shape.param, value)):
            must = shape.bounds_text or ("smaller" if huge(raw) else "finite")
            raise self._unlike(raw, at, must)
        if type(value) is not kind:
            bounds = shape.bounds_text
            raise self._unlike(raw, at, _NOUNS[kind] + (f", {bounds}" if bounds else ""))
        if kind is str and shape.param.pattern and not re.fullmatch(shape.param.pattern, raw):
            raise self._unlike(raw, at, shape.param.help)
        return value

    def _path(self, raw: object, at: _At) -> Path:
        if not isinstance(raw, str | Path):
            raise self._unlike(raw, at, _NOUNS[Path])
        try:
            path = spelt(raw)
        except ValueError:
            raise self._wrong(at, f"= {show(raw)}: not a path") from None
        return path if self.base is None else self.base / path

    def _unlike(self, raw: object, at: _At, must: str) -> HcompressError:
        return self._wrong(at, f"{'=' if at else 'is'} {show(raw)}: must be {must}")

    def _wrong(self, at: _At, what: str) -> HcompressError:
        return self.refuse(" ".join(filter(None, (f"{self.where}:", _dotted(at), what))))


def _plainly(shape: Shape, values: Collection[Any]) -> bool:
    """Whether all are texts, or whole numbers, and right: found out in a tenth of the time, since
    a file may hold millions."""
    if set(map(type, values)) != {shape.base} or shape.param.pattern:
        return False
    if shape.base is not int:
        return shape.base is str
    ends = (min(values), max(values))
    return not any(huge(end) or _outside(shape.param, end) for end in ends)


def _bounds(param: Param) -> Param:
    """Those alone."""
    return Param(minimum=param.minimum, maximum=param.maximum)


def _number(kind: type, raw: object) -> object:
    """A whole number as a float, and any number as a Decimal, if that is what is asked for."""
    if type(raw) is int and kind in (float, Decimal) and not huge(raw):
        return kind(raw)
    if type(raw) is float and kind is Decimal:
        return Decimal(repr(raw))  # as it was printed, and as people compare it
    return raw


def _outside(param: Param, value: object) -> bool:
    """Whether a number is out of bounds, or none that can be compared."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return False
    if not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
        return param.finite
    low, high = param.minimum, param.maximum
    return (low is not None and value < low) or (high is not None and value > high)


def _called(shape: Shape, entry: object, index: int) -> str | int:
    """How an error calls an element of a list: by the text it needs first, as a name; by index."""
    if isinstance(entry, dict) and dataclasses.is_dataclass(shape.base):
        kind: Any = shape.base
        fields = table_of(kind).by_key
        first = next((key for key, field in fields.items() if field.required), "")
        if isinstance(entry.get(first), str):
            return str(entry[first])
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
