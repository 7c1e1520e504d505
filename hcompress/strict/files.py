"""Opening files nobody vouches for, and showing what is in them on one line."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final

from hcompress.errors import EnvironmentFailed, HcompressError, InputRefused, UsageError
from hcompress.stand_in import stand_in

CHUNK = 1 << 20
USAGE: Final = frozenset(
    {errno.ENAMETOOLONG, errno.ELOOP, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOENT}
)
"""Errors of a path that can't be, or that something else has taken."""
_NAMES = (str, bytes, os.PathLike)
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
    """Stat through links. Raises UsageError where nothing is there or could be, EnvironmentFailed
    where the machine does not say."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise UsageError(f"{shown(path)}: no such file or folder: check the path") from None
    except OSError as error:
        raise _failed(path, error) from None


def in_folder(path: Path, name: str, what: str) -> Path:
    """The file itself, or the one called ``name`` if it is a folder.

    Raises UsageError, calling it a ``what``, if there is none.
    """
    file = path / name if path.is_dir() else path
    if not file.exists():
        raise UsageError(f"{shown(file)}: no such {what}")
    return file


def spelt(text: str | Path) -> Path:
    """The path that ``text`` spells, `~` and `~user` too.

    Raises ValueError if no file system can spell it, or nobody has that home.
    """
    if not str(text) or b"\0" in os.fsencode(text):
        raise ValueError
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError from None


def is_there(path: Path) -> bool:
    """Whether anything has the name, be it a link to nowhere.

    Raises EnvironmentFailed if that can't be told: what can't be looked at is not absent.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        raise _failed(path, error) from None
    return True


@contextmanager
def open_regular(path: Path) -> Iterator[tuple[BufferedReader, int]]:
    """The open file and its size. Never waits on a pipe, never reads a device.

    Raises UsageError (no such path), InputRefused (not a plain file, or empty), and
    EnvironmentFailed (it is there, and the machine does not give it).
    """
    require_regular(path, stat_of(path).st_mode)
    try:
        # O_NONBLOCK: should the path turn into a pipe right now, opening it does not hang.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _failed(path, error, ": cannot be opened") from None
    with os.fdopen(handle, "rb") as stream:
        status = os.fstat(handle)
        require_regular(path, status.st_mode)
        if status.st_size == 0:
            raise InputRefused(f"{shown(path)}: is empty: copy or export it again")
        try:
            yield stream, status.st_size
        except OSError as error:
            raise _failed(path, error, ": cannot be read") from None


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


def refuse_stand_in(start: bytes, where: str | Path) -> None:
    """Raises InputRefused, naming ``where``, if a file's first bytes are those of a stand-in."""
    what = stand_in(start)
    if what is not None:
        raise InputRefused(f"{where}: {what}")


def read_small(path: Path, limit: int) -> bytes:
    """A whole small file.

    Raises InputRefused where it is larger than ``limit`` bytes, or another stands in its place.
    """
    with open_regular(path) as (stream, size):
        if size > limit:
            raise InputRefused(f"{shown(path)}: {size} bytes where at most {limit} are expected")
        data = read_exactly(stream, 0, size, path)
    refuse_stand_in(data, shown(path))
    return data


def of_the_system(error: OSError) -> HcompressError:
    """What an OSError that nobody foresaw means, with its path: `UsageError`, if the path can't be
    or is taken, and `EnvironmentFailed` for all else, whatever its number."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        _, path, reason = error.args[0][0]  # of copytree: the first of many
        return EnvironmentFailed(f"{shown(path)}: {reason}")
    reason = error.strerror or str(error).partition("\n")[0]
    names = [shown(os.fsdecode(name)) for name in (error.filename,) if isinstance(name, _NAMES)]
    if error.errno in USAGE and names:
        return UsageError(f"{names[0]}: {reason.lower()}")
    return EnvironmentFailed(": ".join([*names, reason or type(error).__name__]))


def _failed(path: Path, error: OSError, what: str = "") -> HcompressError:
    """What an OSError means: a path that can't be is the user's affair, all else the machine's."""
    if error.errno in USAGE:
        return UsageError(f"{shown(path)}: {_reason(error)}: check the path")
    return EnvironmentFailed(f"{shown(path)}{what}: {_reason(error)}")


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
