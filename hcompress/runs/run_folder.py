"""A run's folder: whose it is, and who works in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from hcompress.artifacts.folder import Artifact
from hcompress.artifacts.partial import remove
from hcompress.compute.lock import hold
from hcompress.errors import InputRefused, UsageError
from hcompress.runs.place import LOCK, apart_from_runs, check_out, made
from hcompress.runs.recipe import Recipe
from hcompress.strict.atomic import is_temporary, sweep
from hcompress.strict.json import read_if_there

EVALUATIONS: Final = "evaluations"
TEACHER: Final = "00-teacher"
_ABOUT: Final = ("run.json", "recipe.json", f"{TEACHER}.json", EVALUATIONS)
"""What a run writes beside its stages before the last of them is finished."""
T = TypeVar("T")


@contextlib.contextmanager
def own(folder: Path) -> Iterator[None]:
    """The locked run folder. Raises UsageError where it is a user's.

    If the run is refused before a stage has left anything, so is the name: nothing stays there.
    """
    check_folder(folder)
    with made(folder), apart_from_runs(folder), hold(folder / LOCK):
        fresh = is_new(folder)
        for place in (folder, folder / EVALUATIONS):
            sweep(place)
        try:
            yield
        except (UsageError, InputRefused):
            if fresh:
                take_back(folder, _ABOUT)
            raise


def take_back(folder: Path, about: Iterable[str]) -> None:
    """Remove files that only say what was going to be in ``folder``, if nothing else is there."""
    if {path.name for path in folder.iterdir()} <= {LOCK, *about}:
        for name in about:
            remove(folder / name)


@dataclass(frozen=True)
class _Teacher:
    """The model that a run started from."""

    model: str
    digest: str


@dataclass(frozen=True)
class Index:
    """What `run.json` says of whose run it is."""

    recipe: str
    teacher: _Teacher | None


def index_of(folder: Path) -> Index | None:
    """Whose run lies in ``folder``; None if there is no `run.json`.

    Raises InputRefused if that can't be told: hours may lie there, and are nobody else's.
    """
    return whose(Index, folder / "run.json")


def whose(kind: type[T], path: Path) -> T | None:
    """What a file says of whose the folder is that it lies in; None only if it is absent."""
    try:
        return read_if_there(kind, path)
    except InputRefused as error:
        raise InputRefused(
            f"{error}: whose folder it is can't be told: mend it, or choose another --out"
        ) from None


def check_folder(folder: Path) -> None:
    """Raises UsageError where the name is taken by something that is no run of ours, InputRefused
    where nobody can say whose run it is."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: a file is there already: choose another --out")
    check_out(folder)
    if (folder / EVALUATIONS).is_symlink():  # what lies behind it would be written to
        raise UsageError(f"{folder / EVALUATIONS}: a link, and in the way: remove it")
    if folder.is_dir() and index_of(folder) is None and not is_new(folder):
        raise UsageError(f"{folder}: not empty and no run of ours: choose another --out")


def is_new(folder: Path) -> bool:
    """Whether nothing is in it but what a run killed at once may leave."""
    names = (entry.name for entry in folder.iterdir())
    return all(name == LOCK or is_temporary(name) for name in names)


def check_same_run(folder: Path, recipe: Recipe, teacher: Artifact | None) -> None:
    """Raises UsageError if the folder holds a run of another recipe, or from another teacher:
    hours may lie there."""
    run = index_of(folder)
    if run is None:
        return
    if run.recipe != recipe.name:
        raise UsageError(
            f'{folder}: holds a run of the recipe "{run.recipe}": choose another --out, or --force'
        )
    if teacher and run.teacher and run.teacher.digest != teacher.digest:
        raise UsageError(
            f"{folder}: holds a run from another teacher, {run.teacher.model}:"
            " choose another --out, or --force"
        )
