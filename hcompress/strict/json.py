"""JSON from outside: no duplicate keys, no NaN or infinity, no depth or digit bombs."""

from __future__ import annotations

import codecs
import contextlib
import json
import math
import re
from pathlib import Path
from typing import Any, Final, TypeVar

from hcompress.errors import InputRefused, UsageError
from hcompress.strict.files import is_there, quoted, read_small, shown
from hcompress.strict.read import read

T = TypeVar("T")
_MOST_OF_OURS: Final = 1 << 30
"""Bytes of a file of a run: the readings of a million lines are a tenth of it."""
MAX_FILE_BYTES = 64 << 20
_UNSEEN: Final = re.compile(r"[^!-~ ]")
"""What may be invisible."""


def strict_json(data: bytes | str, where: str) -> Any:
    """Parse JSON. ``where`` names the file (and place) in the line of an InputRefused."""
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_short,
        )
    except RecursionError:
        raise InputRefused(f"{where}: JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise InputRefused(f"{where}: is not UTF-8 text") from None
    except ValueError as error:  # JSONDecodeError too, and integers of absurd length
        raise InputRefused(f"{where}: is not strict JSON: {_first_line(error)}") from None


def read_json(path: Path, limit: int = MAX_FILE_BYTES) -> Any:
    """Parse a whole JSON file. Raises UsageError (absent) and InputRefused (anything else)."""
    return strict_json(read_small(path, limit).removeprefix(codecs.BOM_UTF8), shown(path))


def json_text(value: Any, indent: int | None = 2, ascii_only: bool = False) -> str:
    """``value`` as JSON, on one line if ``indent`` is None; what can't be seen is an escape.

    A lone surrogate, which UTF-8 can't hold, is one too. Raises ValueError on NaN and infinities.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    return _UNSEEN.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character == "\n" or character.isprintable():  # a line's end in a text is an escape already
        return character
    return json.dumps(character)[1:-1]


def recall(kind: type[T], path: Path) -> T | None:
    """A JSON file of ours as a ``kind``; None if it is missing or damaged: the caller starts anew.

    Keys that the ``kind`` lacks are passed over.
    """
    with contextlib.suppress(UsageError, InputRefused):
        return read(kind, read_json(path, _MOST_OF_OURS), shown(path), only_known=False)
    return None


def read_if_there(kind: type[T], path: Path) -> T | None:
    """A JSON file of ours as a ``kind``; None only if nothing has its name.

    For what says whose a folder is: damaged is not absent. Raises InputRefused if it can't be read
    as what we write. Keys that the ``kind`` lacks are passed over.
    """
    if not is_there(path):
        return None
    try:
        return read(kind, read_json(path, _MOST_OF_OURS), shown(path), only_known=False)
    except UsageError as error:  # a link to nowhere
        raise InputRefused(str(error)) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {quoted(key)} stands there twice")
            seen.add(key)
    return result


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is out of range")
    return value


def _short(text: str) -> int:
    value = int(text)
    if value.bit_length() > 64:  # larger than a float, it would end whoever computes with it
        raise ValueError(f"{text[:20]}… of {len(text)} digits is out of range")
    return value


def _first_line(error: ValueError) -> str:
    return quoted(str(error).splitlines()[0], 200)[1:-1] if str(error) else "malformed"
