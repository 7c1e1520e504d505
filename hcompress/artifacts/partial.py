"""A stage's work in progress: `NN-label.partial/` with `out/`, `scratch/` and `key`.

A kill leaves the folder. The same key takes its snapshots up again, another key clears them.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from hcompress.errors import InputRefused, UsageError
from hcompress.strict.atomic import is_temporary, sweep, write_text
from hcompress.strict.files import is_there, read_small

SUFFIX: Final = ".partial"
_NAMES: Final = frozenset({"out", "scratch", "key"})


def partial_of(folder: Path) -> Path:
    """Where the work on the artifact ``folder`` lies."""
    return folder.with_name(folder.name + SUFFIX)


def check(partial: Path) -> None:
    """A user's folder may happen to end in `.partial`: it is not ours to clear."""
    if not is_there(partial):
        return
    if partial.is_symlink():  # what it leads to is not ours to clear
        raise UsageError(f"{partial}: a link, and in the way: remove it")
    names = {entry.name for entry in partial.iterdir()} if partial.is_dir() else {partial.name}
    if any(name not in _NAMES and not is_temporary(name) for name in names):
        raise UsageError(f"{partial}: not ours, and in the way: move it or choose another --out")


def prepare(partial: Path, key: str) -> bool:
    """An empty `out/`, and a `scratch/` that holds snapshots of this key or nothing.

    Returns whether there are snapshots.
    """
    mark, scratch = partial / "key", partial / "scratch"
    if not _is_marked(mark, key):
        discard(partial)
    remove(partial / "out")
    if not scratch.is_dir() or scratch.is_symlink():  # nothing is written through a link
        remove(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    (partial / "out").mkdir()
    for folder in (partial, scratch):
        sweep(folder)
    write_text(mark, key)
    return any(scratch.iterdir())


def link_out(partial: Path, made: Path) -> None:
    """Fill ``out/`` with the files of the artifact ``made``, as hard links if the disk can.

    Files of artifacts are replaced and never written to, so a link is as good as a copy.
    """
    remove(partial / "out")
    partial.mkdir(parents=True, exist_ok=True)
    shutil.copytree(made, partial / "out", copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _is_marked(mark: Path, key: str) -> bool:
    try:
        return read_small(mark, len(key)) == key.encode()
    except (UsageError, InputRefused):
        return False


def discard(partial: Path) -> None:
    """Remove a partial folder; its key first, so that half of it is never taken for whole."""
    if partial.exists():
        remove(partial / "key")
        remove(partial)


def remove(path: Path) -> None:
    """Remove whatever has the name, if anything does; of a link no more than the link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def discard_idle(partial: Path) -> None:
    """After an error of ours: keep what can be gone on from, and nothing else."""
    scratch = partial / "scratch"
    if not (scratch.is_dir() and any(scratch.iterdir())):
        discard(partial)
