"""The digest that names a file's contents everywhere."""

from __future__ import annotations

import hashlib
from io import BufferedReader
from pathlib import Path


def file_digest(path: Path) -> str:
    """SHA-256 of a file as 64 hex, read in pieces."""
    with path.open("rb") as stream:
        return stream_digest(stream)


def stream_digest(stream: BufferedReader) -> str:
    """The same of an open file, from where it stands."""
    return hashlib.file_digest(stream, "sha256").hexdigest()
