"""Files of ours in TOML: read within limits, and key by key, so that a slip is never ignored."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hcompress.errors import UsageError
from hcompress.strict.show import suggest

SCHEMA_VERSION: Final = 1
_MOST_BYTES: Final = 1 << 20
_NOUNS: Final = {
    int: "a whole number",
    str: "a string",
    float: "a number",
    dict: "a table",
    list: "an array of tables",
}


def read_toml(path: Path, noun: str) -> dict[str, Any]:
    """The parsed file. Raises UsageError where it can't be read, or is no TOML of our size."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path}: larger than {_MOST_BYTES >> 20} MiB: not a {noun}")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path}: cannot read the {noun}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, too many digits
        raise UsageError(f"{path}: not TOML: {error}") from None


class Table:
    """A TOML table read key by key; what is left at the end was mistyped.

    Every method raises UsageError, beginning with ``where``. Paths are relative to ``base``.
    """

    def __init__(self, raw: Mapping[str, Any], where: str, base: Path) -> None:
        self.raw = dict(raw)
        self.where = where
        self.base = base
        self.known: list[str] = []

    def check_version(self) -> None:
        version = self.take("schema_version", int)
        if version != SCHEMA_VERSION:
            raise UsageError(
                f"{self.where}: schema_version = {version}:"
                f" this hcompress reads {SCHEMA_VERSION} only"
            )

    def take(self, key: str, kind: type, default: object = ...) -> Any:
        self.known.append(key)
        value = self.raw.pop(key, default)
        if value is ...:
            raise UsageError(f"{self.where}: {key} is missing{self._mistyped(key)}")
        if value is default:
            return value
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise UsageError(f"{self.where}: {key} = {value!r}: must be {_NOUNS[kind]}")
        return value

    def _mistyped(self, key: str) -> str:
        return next(
            (f'; "{other}" is there: did you mean it?' for other in self.raw if _near(key, other)),
            "",
        )

    def count(self, key: str, default: int, minimum: int, most: int) -> int:
        value: int = self.take(key, int, default)
        if value < minimum:
            raise UsageError(f"{self.where}: {key} = {value}: must be at least {minimum}")
        if value > most:
            raise UsageError(f"{self.where}: {key} = {value}: must be at most {most}")
        return value

    def path(self, key: str) -> Path | None:
        value: str | None = self.take(key, str, None)
        if value is not None and (not value or "\0" in value):
            raise UsageError(f"{self.where}: {key} = {value!r}: not a path")
        return None if value is None else self.base / Path(value).expanduser()

    def folder_name(self, key: str) -> str:
        """A name that can be a folder's."""
        name: str = self.take(key, str)
        if name in ("", "..") or Path(name).name != name or not name.isprintable():
            raise UsageError(f"{self.where}: {key} = {name!r}: must do as the name of a folder")
        return name

    def close(self) -> None:
        for key in self.raw:
            hint = suggest(key, self.known, "keys")
            raise UsageError(f'{self.where}: unknown key "{key}"{hint}')


def _near(one: str, other: str) -> bool:
    return "did you mean" in suggest(one, [other], "")
