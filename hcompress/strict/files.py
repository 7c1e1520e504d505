"""Opening files nobody vouches for, and showing what is in them on one line."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from hcompress.errors import InputRefused, UsageError

CHUNK = 1 << 20
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def quoted(text: str, limit: int = 80) -> str:
    """Text from a file, fit for one line of an error: no control characters, not too long."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return '"' + _printable(cut) + '"'


def shown(path: Path | str) -> str:
    """A path on one line, whatever bytes its name has."""
    return _printable(str(path))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def stat_of(path: Path) -> os.stat_result:
    """Stat through links. Raises UsageError where nothing is there."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise UsageError(f"{shown(path)}: no such file or folder: check the path") from None
    except OSError as error:
        raise UsageError(f"{shown(path)}: {_reason(error)}: check the path") from None


def in_folder(path: Path, name: str, what: str) -> Path:
    """The file itself, or the one called ``name`` if it is a folder.

    Raises UsageError, calling it a ``what``, if there is none.
    """
    file = path / name if path.is_dir() else path
    if not file.exists():
        raise UsageError(f"{shown(file)}: no such {what}")
    return file


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BufferedReader, int]]:
    """The open file and its size. Never waits on a pipe, never reads a device.

    Raises UsageError (no such path) and InputRefused (not a plain file, empty, unreadable).
    """
    require_regular(path, stat_of(path).st_mode)
    try:
        # O_NONBLOCK: should the path turn into a pipe right now, opening it does not hang.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InputRefused(f"{shown(path)}: cannot be opened: {_reason(error)}") from None
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        require_regular(path, status.st_mode)
        if status.st_size == 0:
            raise InputRefused(f"{shown(path)}: is empty: copy or export it again")
        try:
            yield stream, status.st_size
        except OSError as error:
            raise InputRefused(f"{shown(path)}: cannot be read: {_reason(error)}") from None


def require_regular(path: Path, mode: int, wanted: str = "a model file") -> None:
    """Raises InputRefused, saying what is ``wanted``, unless the mode is a plain file's."""
    if stat.S_ISREG(mode):
        return
    kind = next((name for test, name in _KINDS if test(mode)), "not a plain file")
    raise InputRefused(f"{shown(path)}: is {kind}, not {wanted}: name a file")


def read_exactly(stream: BinaryIO, offset: int, count: int, path: Path) -> bytes:
    """``count`` bytes from ``offset``. Raises InputRefused where the file ends before."""
    stream.seek(offset)
    data = stream.read(count)
    if len(data) != count:
        raise InputRefused(f"{shown(path)}: ends {count - len(data)} bytes early: copy it again")
    return data


def chunks(stream: BinaryIO, offset: int, count: int, path: Path) -> Iterator[bytes]:
    """The same bytes as ``read_exactly``, in chunks of at most 1 MiB."""
    end = offset + count
    while offset < end:
        data = read_exactly(stream, offset, min(CHUNK, end - offset), path)
        offset += len(data)
        yield data


def read_small(path: Path, limit: int) -> bytes:
    """A whole small file. Raises InputRefused where it is larger than ``limit`` bytes."""
    with open_regular(path) as (stream, size):
        if size > limit:
            raise InputRefused(f"{shown(path)}: {size} bytes where at most {limit} are expected")
        return read_exactly(stream, 0, size, path)


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
