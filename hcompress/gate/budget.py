"""The files of a budget: each counted once, however many patterns, links or models lead to it."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from hcompress.errors import EnvironmentFailed, HcompressError, UsageError
from hcompress.formats.open import ModelFile
from hcompress.gate.judge import MeasuredBudget
from hcompress.stand_in import START
from hcompress.strict.digest import file_digest
from hcompress.strict.files import refuse_stand_in, require_regular, shown, stat_of

MOST_FILES: Final = 20_000
"""A pattern that fits more was meant otherwise."""
_PAGES: Final = frozenset((".html", ".htm", ".xml", ".svg"))
"""What is meant to be a page of HTML or XML, and has been checked out if it is one."""
_Inode = tuple[int, int]


def measure_budget(root: Path, paths: Sequence[str]) -> MeasuredBudget:
    """The bytes of every file that ``paths`` below ``root`` lead to, by name.

    Of a folder all files below it, of an ONNX file those with its external data too.
    """
    files: dict[_Inode, tuple[str, int]] = {}
    whole = hashlib.sha256()
    try:
        for path in _all_files(root, paths):
            status = stat_of(path)
            if files.setdefault((status.st_dev, status.st_ino), ("", 0))[0]:
                continue
            _check(path, status)
            name = Path(os.path.relpath(path, root)).as_posix()
            files[status.st_dev, status.st_ino] = (name, status.st_size)
            if len(files) > MOST_FILES:
                raise UsageError(f"more than {MOST_FILES:,} files: be more exact")
            if status.st_size:
                whole.update(f"{name}\0{file_digest(path)}\n".encode("utf-8", "surrogateescape"))
    except HcompressError as error:
        return MeasuredBudget(problem=str(error))
    except OSError as error:
        return MeasuredBudget(problem=f"{shown(error.filename or root)}: {error.strerror}")
    return MeasuredBudget(dict(sorted(files.values())), digest=whole.hexdigest())


def _all_files(root: Path, paths: Sequence[str]) -> Iterator[Path]:
    for pattern in paths:
        found = False
        for path in _fitting(root, pattern):
            for file in _below(path, set()):
                found = True
                yield file
                if file.suffix.lower() == ".onnx":
                    yield from ModelFile(file).external
        if not found:
            raise UsageError(f"{shown(root / pattern)}: no file fits: check the path or pattern")


def _fitting(root: Path, pattern: str) -> Iterator[Path]:
    """Names with a dot in front are no way out: they fit too."""
    if os.path.lexists(root / pattern):
        yield root / pattern
    for name in glob.iglob(pattern, root_dir=root, recursive=True, include_hidden=True):  # noqa: PTH207
        yield root / name


def _below(path: Path, seen: set[_Inode]) -> Iterator[Path]:
    """The file itself, or all files below a folder; of folders that are linked to as well, once."""
    status = stat_of(path)
    if not stat.S_ISDIR(status.st_mode):
        yield path
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise EnvironmentFailed(f"{shown(path)}: {error.strerror}") from None
    for entry in entries:
        yield from _below(entry, seen)


def _check(path: Path, status: os.stat_result) -> None:
    """Raises InputRefused of a pipe, a device, and of a file that stands for another."""
    require_regular(path, status.st_mode, "a file to be weighed")
    if not status.st_size:
        return
    with path.open("rb") as stream:
        start = stream.read(START)
    if path.suffix.lower() in _PAGES and start.lstrip().startswith(b"<"):
        return
    refuse_stand_in(start, shown(path))
