"""A stage's parameters as data: what a dataclass's fields say, checked and spelled one way.

Recipe keys, command-line options, the key of an artifact and the docs are all derived from
what `describe` returns, so they cannot disagree. Runs nothing and imports nothing heavy.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from hcompress.errors import UsageError

Stage = TypeVar("Stage")
"""A frozen dataclass: what a stage is besides is not looked at."""
MOST_WORKERS: Final = 256
MOST_BATCH: Final = 16_384
"""Images at once; as many fill the largest GPU."""
MOST_IMAGES: Final = 100_000_000
"""More than data has: a slip of the keyboard."""


@dataclass(frozen=True)
class Param:
    """Help text and bounds of one stage parameter, carried in ``Annotated[type, Param(...)]``."""

    help: str
    minimum: float | None = None
    maximum: float | None = None
    data: bool = False
    """The parameter is a path to data; its digest, not its spelling, enters the key."""
    keyed: bool = True
    """False where the parameter never changes a byte of the result, such as worker processes."""


SCALARS: Final = (bool, int, float, str, Path)
_NOUNS: Final = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
    Path: "a path",
}


@dataclass(frozen=True)
class Parameter:
    """One field of a stage, as recipe key, option and line of documentation."""

    name: str
    scalar: type
    """bool, int, float, str, Path or a StrEnum; of each element where ``many``."""
    many: bool
    optional: bool
    """None is a value."""
    required: bool
    default: Any
    param: Param

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a StrEnum; empty for every other type."""
        return tuple(self.scalar) if issubclass(self.scalar, StrEnum) else ()

    @property
    def type_text(self) -> str:
        noun = " | ".join(self.choices) or self.scalar.__name__.lower()
        return f"list of {noun}" if self.many else noun

    @property
    def bounds_text(self) -> str:
        low, high = self.param.minimum, self.param.maximum
        if low is not None and high is not None:
            return f"{low:.9g} to {high:.9g}"
        if low is not None:
            return f"at least {low:.9g}"
        return "" if high is None else f"at most {high:.9g}"

    @property
    def default_text(self) -> str:
        return "none" if self.default is None else str(plain(self.default)).lower()


def describe(kind: type[Stage]) -> tuple[Parameter, ...]:
    """The parameters of a stage's dataclass, in the order of its fields.

    Raises TypeError where a field is not one of the types a recipe can hold: our bug.
    """
    hints = typing.get_type_hints(kind, include_extras=True)
    return tuple(_describe_field(kind, field, hints[field.name]) for field in _fields(kind))


def _fields(kind: type[Stage]) -> tuple[dataclasses.Field[Any], ...]:
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is not a dataclass")
    return dataclasses.fields(kind)


def _describe_field(kind: type[Stage], field: dataclasses.Field[Any], hint: Any) -> Parameter:
    param = Param("")
    if typing.get_origin(hint) is typing.Annotated:
        hint, *extras = typing.get_args(hint)
        param = next((extra for extra in extras if isinstance(extra, Param)), param)
    optional = False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        arms = [arm for arm in typing.get_args(hint) if arm is not types.NoneType]
        optional, hint = len(arms) < len(typing.get_args(hint)), arms[0] if len(arms) == 1 else hint
    many = typing.get_origin(hint) is tuple
    if many:
        hint, *rest = typing.get_args(hint)
        if rest != [...]:
            raise TypeError(f"{kind.__name__}.{field.name}: only tuple[X, ...] is supported")
    if not isinstance(hint, type) or not (hint in SCALARS or issubclass(hint, StrEnum)):
        raise TypeError(f"{kind.__name__}.{field.name}: a recipe cannot hold {hint}")
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    required = default is dataclasses.MISSING
    return Parameter(
        field.name, hint, many, optional, required, None if required else default, param
    )


def build(kind: type[Stage], raw: Mapping[str, Any], where: str, base: Path | None = None) -> Stage:
    """A stage from a recipe table or from options.

    Relative paths are taken from ``base`` where it is given. Raises UsageError, beginning with
    ``where``, on an unknown or missing key, a wrong type or a value out of bounds.
    """
    values = _converted(kind, raw, where, base)
    for parameter in describe(kind):
        if parameter.required and parameter.name not in raw:
            about = parameter.param.help or "required"
            raise UsageError(f"{where}: {parameter.name} is missing: {about}")
    return _made(kind, values, where)


def change(stage: Stage, raw: Mapping[str, Any], where: str, base: Path | None = None) -> Stage:
    """``stage`` with some parameters changed, spelt and refused as `build` does."""
    kind = type(stage)
    values = {parameter.name: getattr(stage, parameter.name) for parameter in describe(kind)}
    return _made(kind, {**values, **_converted(kind, raw, where, base)}, where)


def _converted(
    kind: type[Stage], raw: Mapping[str, Any], where: str, base: Path | None
) -> dict[str, Any]:
    known = {parameter.name: parameter for parameter in describe(kind)}
    for key in raw:
        if key not in known:
            raise UsageError(f"{where}: unknown key {_quote(key)}{suggest(key, known, 'keys')}")
    return {key: convert(known[key], value, where, base) for key, value in raw.items()}


def _made(kind: type[Stage], values: Mapping[str, Any], where: str) -> Stage:
    try:
        return kind(**values)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def convert(parameter: Parameter, value: object, where: str, base: Path | None = None) -> Any:
    """``value``, as TOML, JSON or an option gives it, in the parameter's own type."""
    if value is None and parameter.optional:
        return None
    if not parameter.many:
        return _convert_scalar(parameter, value, where, base)
    if not isinstance(value, list | tuple):
        raise UsageError(
            f"{where}: {parameter.name} = {_show(value)}: must be a {parameter.type_text}"
        )
    return tuple(_convert_scalar(parameter, entry, where, base) for entry in value)


def _convert_scalar(parameter: Parameter, value: object, where: str, base: Path | None) -> Any:
    at = f"{where}: {parameter.name} = {_show(value)}"
    scalar = parameter.scalar
    if issubclass(scalar, StrEnum):
        if value not in parameter.choices:
            raise UsageError(f"{at}{suggest(str(value), parameter.choices, 'one of')}")
        return scalar(str(value))
    if scalar is Path and isinstance(value, str | Path):
        if not str(value) or "\0" in str(value):
            raise UsageError(f"{at}: not a path")
        path = Path(value).expanduser()
        return path if base is None else base / path
    if scalar is float and type(value) is int:
        value = float(value)
    if type(value) is not scalar:
        raise UsageError(f"{at}: must be {_NOUNS[scalar]}")
    _check_bounds(parameter, value, at)
    return value


def _check_bounds(parameter: Parameter, value: object, at: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    low, high = parameter.param.minimum, parameter.param.maximum
    outside = (low is not None and value < low) or (high is not None and value > high)
    if outside or not math.isfinite(value):
        raise UsageError(f"{at}: must be {parameter.bounds_text or 'finite'}")


def values_of(stage: Stage) -> dict[str, Any]:
    """Each parameter's value as JSON can hold it; paths as their spelling."""
    return {entry.name: plain(getattr(stage, entry.name)) for entry in describe(type(stage))}


def paths_of(stage: Stage) -> dict[str, tuple[Parameter, tuple[Path, ...]]]:
    """The parameters that name files or folders, with every path they name."""
    found: dict[str, tuple[Parameter, tuple[Path, ...]]] = {}
    for parameter in describe(type(stage)):
        value = getattr(stage, parameter.name)
        if parameter.scalar is Path and value is not None:
            found[parameter.name] = (parameter, tuple(value) if parameter.many else (value,))
    return found


def plain(value: object) -> Any:
    """``value`` as JSON holds it: enums and paths as strings, tuples as lists."""
    if isinstance(value, StrEnum | Path):
        return str(value)
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    return value


def suggest(word: str, known: Iterable[str], noun: str) -> str:
    """The end of an error line: the nearest known word, or all of them."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1)
    if close:
        return f"; did you mean {_quote(close[0])}?"
    return f"; {noun}: {', '.join(words)}" if words else f"; it has no {noun}"


def _quote(text: object) -> str:
    return f'"{text}"'


def _show(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _quote(value) if isinstance(value, str | Path) else str(value)
