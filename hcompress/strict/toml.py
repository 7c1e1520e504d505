"""Files of ours in TOML: read within limits, and by the keys that their dataclass has."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from hcompress.errors import EnvironmentFailed, HcompressError, UsageError
from hcompress.strict.files import quoted, refuse_stand_in, shown
from hcompress.strict.read import read, take_version
from hcompress.strict.show import show

SCHEMA_VERSION: Final = 1
_MOST_BYTES: Final = 1 << 20
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Named:
    """What every file has that makes a folder: the folder's name, and a line about it."""

    name: str
    summary: str = ""

    def __post_init__(self) -> None:
        name = self.name
        if name in ("", "..") or Path(name).name != name or not name.isprintable():
            raise UsageError(f"name = {show(name)}: must do as the name of a folder")


def read_toml(
    path: Path,
    noun: str,
    refuse: type[HcompressError] = UsageError,
    parse_float: Callable[[str], Any] = float,
) -> dict[str, Any]:
    """The parsed file.

    Raises UsageError if there is none that can be read, ``refuse`` if it is no TOML of our size,
    InputRefused if another file stands in its place.
    """
    if not path.is_file():  # a pipe would be waited for
        raise UsageError(f"{shown(path)}: no such {noun}")
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise EnvironmentFailed(
            f"{shown(path)}: cannot read the {noun}: {error.strerror}"
        ) from None
    if len(data) > _MOST_BYTES:
        raise refuse(f"{shown(path)}: larger than {_MOST_BYTES >> 20} MiB: not a {noun}")
    refuse_stand_in(data, shown(path))
    try:
        return tomllib.loads(data.decode("utf-8-sig"), parse_float=parse_float)
    # ValueError: not UTF-8, too many digits
    except (ValueError, ArithmeticError, RecursionError) as error:
        detail = quoted(str(error), 200)[1:-1]
        raise refuse(f"{shown(path)}: is not TOML: {detail}") from None


def read_file(
    kind: type[T],
    raw: Mapping[str, Any],
    where: str,
    base: Path | None = None,
    refuse: type[HcompressError] = UsageError,
) -> T:
    """A file's contents as a ``kind``; paths are relative to ``base``. Raises ``refuse``."""
    _, keys = take_version(raw, "schema_version", (SCHEMA_VERSION,), where, refuse)
    return read(kind, keys, where, refuse, base=base)
