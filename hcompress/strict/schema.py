"""What a dataclass's fields say: names, types, bounds, defaults and help, as data.

`read.py` reads by it what comes from outside, `write.py` writes it, and recipe keys, options of
commands, keys of artifacts and the docs are derived from it: they cannot disagree.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

MOST_WORKERS: Final = 256
MOST_BATCH: Final = 16_384
"""Images at once; as many fill the largest GPU."""
MOST_IMAGES: Final = 100_000_000
"""More than data has: a slip of the keyboard."""
TAG: Final = "kind"
"""The key, and the ClassVar, that tells the dataclasses of a union apart."""
SCALARS: Final = (bool, int, float, str, Path)
"""What a recipe or an option can hold, beside a StrEnum."""


@dataclass(frozen=True)
class Param:
    """Help text and bounds of one field, carried in ``Annotated[type, Param(...)]``.

    On a tuple or a mapping the bounds are those of its elements.
    """

    help: str = ""
    minimum: float | None = None
    maximum: float | None = None
    data: bool = False
    """The field is a path to data; its digest, not its spelling, enters the key."""
    keyed: bool = True
    """False if the field never changes a byte of the result, such as worker processes."""
    key: str = ""
    """What files call the field; "": its name."""
    finite: bool = True
    """False if NaN and infinities are values too."""
    pattern: str = ""
    """A regular expression that all of a text has to match; ``help`` says it in words."""
    written: Callable[[str], object] | None = None
    """Makes a value of a text where a number is wanted, or None of one that says none; ``help`` has
    both in words."""


_PLAIN: Final = Param()


@dataclass(frozen=True)
class Shape:
    """What a type hint says of a value."""

    base: Any
    """bool, int, float, str, Path, Decimal, a StrEnum, a dataclass, tuple, list or dict;
    object: anything; types.UnionType: one of several dataclasses."""
    inner: tuple[Shape, ...] = ()
    """Of a list's elements, a dict's keys and values, each place of a fixed tuple, each arm of a
    union."""
    optional: bool = False
    """None is a value."""
    fixed: bool = False
    """A tuple with as many elements as ``inner`` has."""
    param: Param = _PLAIN

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a StrEnum; empty for every other type."""
        return tuple(self.base) if issubclass(self.base, StrEnum) else ()

    @property
    def bounds_text(self) -> str:
        low, high = self.param.minimum, self.param.maximum
        if low is not None and high is not None:
            return f"{_number(low)} to {_number(high)}"
        if low is not None:
            return f"at least {_number(low)}"
        return "" if high is None else f"at most {_number(high)}"


def _number(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:.9g}"


@dataclass(frozen=True)
class Parameter:
    """One field of a dataclass, as key of a file, option and line of documentation."""

    name: str
    shape: Shape
    required: bool
    default: Any

    @property
    def param(self) -> Param:
        return self.shape.param

    @property
    def key(self) -> str:
        return self.param.key or self.name

    @property
    def many(self) -> bool:
        return self.shape.base is tuple

    @property
    def optional(self) -> bool:
        return self.shape.optional

    @property
    def scalar(self) -> type:
        """The type of the value; of each element if there are many."""
        found: type = self.shape.inner[0].base if self.many else self.shape.base
        return found

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        return (self.shape.inner[0] if self.many else self.shape).choices

    @property
    def type_text(self) -> str:
        noun = " | ".join(self.choices) or self.scalar.__name__.lower()
        return f"list of {noun}" if self.many else noun

    @property
    def bounds_text(self) -> str:
        return self.shape.bounds_text

    @property
    def default_text(self) -> str:
        if self.default is None:
            return "none"
        shown = [str(entry) for entry in self.default] if self.many else self.default
        return str(shown).lower()


@dataclass(frozen=True)
class Table:
    """What a dataclass says of the table it is read from: a field for every key."""

    by_key: Mapping[str, Parameter]
    tag: str | None
    """What the table's ``kind`` must be; None if the dataclass is no arm of a union."""

    @property
    def fields(self) -> tuple[Parameter, ...]:
        return tuple(self.by_key.values())


def describe(kind: type[Any]) -> tuple[Parameter, ...]:
    """The parameters of a stage's dataclass, in the order of its fields.

    Raises TypeError if a field is not one of the types a recipe can hold: our bug.
    """
    for field in table_of(kind).fields:
        scalar = field.scalar
        if not (scalar in SCALARS or issubclass(scalar, StrEnum)) or field.shape.fixed:
            raise TypeError(f"{kind.__name__}.{field.name}: a recipe cannot hold it")
    return table_of(kind).fields


def table_of(kind: type[Any]) -> Table:
    """The keys of a dataclass. Raises TypeError if it is none, or has types nobody reads."""
    return _table_of(kind)  # type: ignore[arg-type]  # a class can be hashed


@functools.cache
def _table_of(kind: Any) -> Table:
    owner, tag = kind.__name__, getattr(kind, TAG, None)
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{owner} is not a dataclass")
    hints = typing.get_type_hints(kind, include_extras=True)
    given = [field for field in dataclasses.fields(kind) if field.init]
    parameters = [_field(owner, field, hints[field.name]) for field in given]
    tagged = isinstance(tag, str) and all(entry.name != TAG for entry in parameters)
    return Table({entry.key: entry for entry in parameters}, str(tag) if tagged else None)


def _field(owner: str, field: dataclasses.Field[Any], hint: Any) -> Parameter:
    try:
        shape = shape_of(hint)
    except TypeError as error:
        raise TypeError(f"{owner}.{field.name}: {error}") from None
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    required = default is dataclasses.MISSING
    return Parameter(field.name, shape, required, None if required else default)


def shape_of(hint: Any, param: Param = _PLAIN) -> Shape:
    """What ``hint`` asks of a value. Raises TypeError on a hint that nothing can be read by."""
    if typing.get_origin(hint) is typing.Annotated:
        hint, *extras = typing.get_args(hint)
        param = next((extra for extra in extras if isinstance(extra, Param)), param)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, param)
    if origin is not None:
        return _container(hint, origin, arguments, param)
    if hint is Any:
        return Shape(object, param=param)
    known = (*SCALARS, Decimal)
    if hint in known or (isinstance(hint, type) and _is_table_or_choice(hint)):
        return Shape(hint, param=param)
    raise TypeError(f"nothing can be read as {hint}")


def _is_table_or_choice(hint: type) -> bool:
    return dataclasses.is_dataclass(hint) or issubclass(hint, StrEnum)


def _union(arguments: tuple[Any, ...], param: Param) -> Shape:
    arms = [arm for arm in arguments if arm is not types.NoneType]
    optional = len(arms) < len(arguments)
    if len(arms) == 1:
        return dataclasses.replace(shape_of(arms[0], param), optional=optional)
    for arm in arms:
        if not dataclasses.is_dataclass(arm) or table_of(arm).tag is None:  # type: ignore[arg-type]
            raise TypeError(f"{arm} in a union is no dataclass with a ClassVar {TAG}")
    return Shape(types.UnionType, tuple(Shape(arm) for arm in arms), optional, param=param)


def _container(hint: Any, origin: Any, arguments: tuple[Any, ...], param: Param) -> Shape:
    inner = [shape_of(argument, param) for argument in arguments if argument is not ...]
    if origin in (dict, Mapping) and inner[0].base is str:
        return Shape(dict, tuple(inner), param=param)
    if origin in (list, Sequence):
        return Shape(list if origin is list else tuple, (inner[0],), param=param)
    if origin is tuple:
        return Shape(tuple, tuple(inner), fixed=arguments[-1] is not ..., param=param)
    raise TypeError(f"nothing can be read as {hint}")
