"""What a study would do: which stages are finished, which are shared, and which have to run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hcompress.artifacts import folder as artifacts
from hcompress.artifacts.folder import Artifact
from hcompress.artifacts.kinds import Kind
from hcompress.errors import UsageError
from hcompress.lab.study.readings import OpenLines, Shelf, open_lines
from hcompress.lab.study.spec import TEACHER, Study
from hcompress.runs.keys import Digester
from hcompress.runs.plan import Plan, make_plan
from hcompress.runs.recipe import Recipe
from hcompress.runs.run_folder import whose
from hcompress.runs.shrink import READABLE, open_teacher

INDEX: Final = "runs.json"
"""Whose folder it is."""
EVALUATIONS: Final = "evaluations"
FINISHED: Final = "finished"
SHARED: Final = "shared"
TO_RUN: Final = "run"


@dataclass(frozen=True)
class Index:
    """What `runs.json` says of whose study it is."""

    study: str
    teacher: str
    """Its digest."""


@dataclass(frozen=True)
class PlannedRun:
    """One variant with one seed."""

    variant: str
    seed: int
    recipe: Recipe
    folder: Path
    plan: Plan

    @property
    def model(self) -> Path:
        """The folder of what is evaluated: the last ONNX file, or the last checkpoint."""
        return self.folder / self.recipe.folder_name(last_readable(self.recipe))


@dataclass(frozen=True)
class StudyPlan:
    """Every run in its order, checked: nothing in it can be wrong but what happens on the way."""

    study: Study
    folder: Path
    teacher: Artifact
    tests: tuple[OpenLines, ...]
    runs: tuple[PlannedRun, ...]

    def finished(self) -> dict[str, Path]:
        """Folders of finished artifacts by key."""
        return {
            stage.key: run.folder / stage.folder
            for run in self.runs
            for stage in run.plan.stages
            if stage.cached and stage.key is not None
        }

    def states(self) -> Iterator[tuple[PlannedRun, list[str]]]:
        """Each run with what becomes of its stages: finished, shared with another run, or run."""
        known = set(self.finished())
        for run in self.runs:
            states = []
            for stage in run.plan.stages:
                states.append(
                    FINISHED if stage.cached else SHARED if stage.key in known else TO_RUN
                )
                known.add(str(stage.key))
            yield run, states

    def shelf(self, name: str) -> Shelf:
        """Where the readings of a run, or of the teacher, lie."""
        return Shelf(self.folder / EVALUATIONS / name)

    def to_dict(self) -> dict[str, Any]:
        """A dry run's answer."""
        return {
            "study": self.study.name,
            "folder": str(self.folder),
            "runs": [
                {
                    "run": run.folder.name,
                    "variant": run.variant,
                    "seed": run.seed,
                    "stages": [
                        {"folder": stage.folder, "stage": stage.stage, "state": state}
                        for stage, state in zip(run.plan.stages, states, strict=True)
                    ],
                    "tests": self._read(run.folder.name, _finished_model(run, states)),
                }
                for run, states in self.states()
            ],
            "teacher": {"tests": self._read(TEACHER, self.teacher)},
        }

    def _read(self, name: str, model: Artifact | None) -> dict[str, str]:
        shelf = self.shelf(name)
        return {
            lines.name: FINISHED if model and shelf.known(model, lines) else TO_RUN
            for lines in self.tests
        }


def plan_study(
    study: Study, teacher: Path | None, folder: Path, digest_data: Digester
) -> StudyPlan:
    """Look at everything the study would look at, and change nothing.

    Raises what a run would raise before its first stage.
    """
    path = teacher or study.teacher
    source = open_teacher(path)
    if path is None or source is None:
        raise UsageError("no teacher: name a checkpoint after the study, or in it")
    if source.kind not in (Kind.CHECKPOINT, Kind.ONNX):
        raise UsageError(f"{path}: the teacher must be a checkpoint, and is {source.kind}")
    _check_teacher(folder, source)
    runs = []
    for variant, seed in study.runs():
        recipe = variant.run_recipe(seed)
        last_readable(recipe)
        place = folder / variant.run_name(seed)
        try:
            plan = make_plan(recipe, path, place, digest_data)
        except UsageError as error:
            raise UsageError(f'variant "{variant.name}": {error}') from None
        runs.append(PlannedRun(variant.name, seed, recipe, place, plan))
    tests = tuple(open_lines(lines) for lines in study.tests)  # the models first: it may need fonts
    return StudyPlan(study, folder, source, tests, tuple(runs))


def _check_teacher(folder: Path, teacher: Artifact) -> None:
    """Raises UsageError where the folder holds the study of another teacher: days may lie there."""
    index = whose(Index, folder / INDEX)
    if index is not None and index.teacher != teacher.digest:
        raise UsageError(f"{folder}: holds the study of another teacher: choose another --out")


def last_readable(recipe: Recipe) -> int:
    """Which step makes what is evaluated. Raises UsageError where none makes a model that reads."""
    for kind in reversed(READABLE):
        for index in reversed(range(len(recipe.steps))):
            if recipe.steps[index].stage.produces is kind:
                return index
    raise UsageError(f'"{recipe.name}": no stage makes a model that can be read with')


def _finished_model(run: PlannedRun, states: Sequence[str]) -> Artifact | None:
    """What is evaluated, where it is finished: what lies there of other settings is not it."""
    if states[last_readable(run.recipe)] is not FINISHED:
        return None
    return artifacts.open_artifact(run.model)
