"""Where a stage's work may go: a name that is free or ours, and nobody's source."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Final

from hcompress.artifacts import folder as artifacts
from hcompress.artifacts import partial as partials
from hcompress.compute.lock import check_not_held, hold, holds
from hcompress.errors import EnvironmentFailed, HcompressError, UsageError
from hcompress.strict.files import is_there, shown

ROOM_FACTOR: Final = 4
"""Free disk asked for, in sizes of the source: the result, and snapshots with their optimiser."""
ROOM_FLOOR: Final = 64 << 20
LOCK: Final = ".lock"
"""In the folder of whoever makes many artifacts: a run, a study, the tables."""


class Existing(Enum):
    """What may become of something that already has the artifact's name."""

    KEEP = "an artifact with another key stops the run"
    REPLACE = "an artifact of ours is replaced"
    OWNED = "the folder is in a run of ours: whatever has the name is replaced"


def named(out: Path) -> Path:
    """``out`` by a path whose last part is a name, and what it leads to if it is a link: lock and
    work lie beside it, and a link of the user's stays one.

    Raises UsageError if there is no such name, or the link leads nowhere.
    """
    whole = out if out.name else out.absolute()
    if whole.name in ("", ".."):
        raise UsageError(f"{shown(out)}: no folder that can be made: choose another --out")
    check_out(whole)
    return Path(os.path.realpath(whole)) if whole.is_symlink() else whole


def check_out(out: Path) -> None:
    """Raises UsageError if ``out`` is a link that leads nowhere, or could lie in no folder."""
    if out.is_symlink() and not out.exists():
        raise UsageError(f"{shown(out)}: a link to nothing: make that folder, or remove the link")
    above = next((path for path in out.absolute().parents if is_there(path)), out.parent)
    if not above.is_dir():
        raise UsageError(f"{shown(above)}: not a folder: choose another --out")


def check_apart(folder: Path, inputs: Iterable[Path]) -> None:
    """Raises UsageError if what the artifact ``folder`` is made from would go when it is made:
    if it is that folder or lies in it, or in the work beside it."""
    places = [Path(os.path.realpath(place)) for place in (folder, partials.partial_of(folder))]
    for path in inputs:
        real = Path(os.path.realpath(path))
        if any(real == place or place in real.parents for place in places):
            raise UsageError(
                f"{shown(path)}: would be replaced by what is made from it: choose another --out"
            )


def check_name(folder: Path, why: str, existing: Existing) -> None:
    """Raises UsageError unless the final name is free, or ours to replace.

    ``why`` is why what has the name, if anything does, is not what was asked for.
    """
    if folder.is_symlink():  # what it leads to is not ours to clear
        raise UsageError(f"{shown(folder)}: a link, and in the way: remove it")
    if os.path.ismount(folder):
        raise UsageError(f"{shown(folder)}: a disk is mounted there: name a folder in it")
    if not folder.exists() or existing is Existing.OWNED:
        return
    artifacts.check_replaceable(folder)
    damaged = why.startswith("damaged") and any(folder.iterdir())
    if existing is Existing.KEEP and any(folder.iterdir()) and not damaged:
        raise UsageError(f"{folder}: {why or 'exists'}: choose another --out, or --force")


def clear_name(folder: Path, why: str, existing: Existing) -> None:
    """As `check_name`; what is nobody's in a run of ours is removed."""
    check_name(folder, why, existing)
    if existing is Existing.OWNED and folder.exists() and not artifacts.is_ours(folder):
        partials.remove(folder)


def check_room(folder: Path, source: int) -> None:
    """Raises EnvironmentFailed unless a stage finds the disk it needs by a source of that size."""
    needed = room_needed(source)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise EnvironmentFailed(
            f"{folder}: {free >> 20} MiB free, {needed >> 20} MiB needed: make room"
        )


def room_needed(source_bytes: int) -> int:
    """Free bytes a stage should find before it starts."""
    return ROOM_FACTOR * source_bytes + ROOM_FLOOR


@contextlib.contextmanager
def made(folder: Path) -> Iterator[None]:
    """``folder``, with those above it. If the block fails and nothing is in them, they go again."""
    check_out(folder)
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except HcompressError:
        for path in missing:
            with contextlib.suppress(OSError):  # somebody has put something there
                path.rmdir()
        raise


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else makes the artifact ``folder`` while the block runs."""
    with made(folder.parent), hold(folder.with_name(folder.name + LOCK)):
        yield


@contextlib.contextmanager
def apart_from_runs(folder: Path) -> Iterator[None]:
    """No run works around ``folder`` while the block makes it: one may be waiting to make it too.

    Raises EnvironmentFailed if one does. A run that begins meanwhile is told to wait.
    """
    whole = folder.absolute()
    others = [place for place in whole.parents if not holds(place / LOCK)]
    runs = [place for place in others if _is_run(place)]
    for place in others:
        if place not in runs:
            check_not_held(place / LOCK)
    with contextlib.ExitStack() as held:
        for place in reversed(runs):
            held.enter_context(hold(place / LOCK))
        yield


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("run.json", "runs.json"))
