"""A run's folder: whose it is, and who works in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hcompress.artifacts.folder import Artifact
from hcompress.compute.lock import hold
from hcompress.errors import UsageError
from hcompress.runs.recipe import Recipe
from hcompress.strict.atomic import is_temporary, sweep
from hcompress.strict.json import recall

LOCK: Final = ".lock"
EVALUATIONS: Final = "evaluations"


@contextlib.contextmanager
def own(folder: Path) -> Iterator[None]:
    """The locked run folder. Raises UsageError where it is a user's."""
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with hold(folder / LOCK):
        for place in (folder, folder / EVALUATIONS):
            sweep(place)
        yield


def check_folder(folder: Path) -> None:
    """Raises UsageError where the name is taken by something that is no run of ours."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: a file is there already: choose another --out")
    if folder.is_dir() and not (folder / "run.json").exists() and not is_new(folder):
        raise UsageError(f"{folder}: not empty and no run of ours: choose another --out")


def is_new(folder: Path) -> bool:
    """Whether nothing is in it but what a run killed at once may leave."""
    names = (entry.name for entry in folder.iterdir())
    return all(name == LOCK or is_temporary(name) for name in names)


def check_same_run(folder: Path, recipe: Recipe, teacher: Artifact | None) -> None:
    """Raises UsageError if the folder holds a run of another recipe, or from another teacher:
    hours may lie there."""
    run = recall(dict[str, Any], folder / "run.json") or {}
    name, before = run.get("recipe"), run.get("teacher")
    if isinstance(name, str) and name != recipe.name:
        raise UsageError(
            f'{folder}: holds a run of the recipe "{name}": choose another --out, or --force'
        )
    if teacher and isinstance(before, dict) and before.get("digest") != teacher.digest:
        raise UsageError(
            f"{folder}: holds a run from another teacher, {before.get('model')}:"
            " choose another --out, or --force"
        )
