"""Files that are there whole or not at all: the only place that writes under a final name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from hcompress.strict.json import json_text

_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{16}\.tmp", re.DOTALL)


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside, flush, rename: ``path`` holds all of ``data``, or what it held before.

    The file beside is a new one, by a name nobody foresees: no link that lies in wait is followed,
    and no two writers share it. A failure removes it; what a kill leaves, `sweep` removes.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        handle = os.open(temporary, flags, 0o666)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(handle)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # the name that somebody knows
        raise
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """As `write_bytes`, in UTF-8. What has no UTF-8, as a byte of a path may not, is written as an
    escape, `\\udcff`: in JSON it is read back as it was."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """As `write_text`. Raises ValueError on NaN and infinities, which JSON lacks."""
    write_text(path, json_text(value) + "\n")


def is_temporary(name: str) -> bool:
    """Whether a file's name is one that `write_bytes` gives to what is not whole yet."""
    return _TEMPORARY.fullmatch(name) is not None


def sweep(folder: Path) -> None:
    """Remove what killed writes left in ``folder``, in which nobody else writes now."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if is_temporary(path.name):
            path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """fsync a file or a folder. An OSError of it names the path."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(handle)
