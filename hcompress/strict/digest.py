"""The digest that names a file's contents everywhere."""

from __future__ import annotations

import hashlib
import os
from io import BufferedReader
from pathlib import Path
from typing import Final

from hcompress.errors import InputRefused
from hcompress.strict.files import shown

_SMALL: Final = 1 << 30
"""Bytes that are hashed in a second, whatever they are."""
_HELD: Final = 16
"""Of a larger file at least this fraction lies on the disk."""
_BLOCK: Final = 512
"""Bytes of what `st_blocks` counts."""


def file_digest(path: Path) -> str:
    """SHA-256 of a file as 64 hex, read in pieces. Raises InputRefused as `stream_digest`."""
    with path.open("rb") as stream:
        return stream_digest(stream, path)


def stream_digest(stream: BufferedReader, path: Path) -> str:
    """The same of an open file, from where it stands.

    Raises InputRefused, naming ``path``, if it is a giant of holes: it takes no room on the disk,
    and hours to hash.
    """
    status = os.fstat(stream.fileno())
    held = getattr(status, "st_blocks", 0) * _BLOCK  # 0 where a file system does not count
    if status.st_size > _SMALL and 0 < held < status.st_size // _HELD:
        raise InputRefused(
            f"{shown(path)}: {status.st_size:,} bytes, of which {held:,} are on the disk: a file of"
            " holes was not read: copy it without them"
        )
    return hashlib.file_digest(stream, "sha256").hexdigest()
