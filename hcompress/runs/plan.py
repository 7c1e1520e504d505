"""What a run would do: the chain, what is finished, and the sizes and disk to expect."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hcompress.artifacts import partial as partials
from hcompress.artifacts.folder import Artifact
from hcompress.artifacts.kinds import Kind
from hcompress.errors import EnvironmentFailed
from hcompress.reports.size_table import mib_text
from hcompress.runs import place
from hcompress.runs import runner as pipeline
from hcompress.runs.forecast import AnyForecast, after, bytes_of, forecast_of
from hcompress.runs.keys import Digester, data_digest, remembering
from hcompress.runs.recipe import Recipe
from hcompress.runs.run_folder import check_folder, check_same_run
from hcompress.runs.shrink import (
    RunOptions,
    check,
    open_teacher,
    stage_options,
)
from hcompress.spec.forecast import Forecast
from hcompress.stages.base import Foreseen, Labelled, Stage


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a dry run."""

    folder: str
    stage: str
    consumes: str
    produces: str
    parameters: Mapping[str, Any]
    cached: bool
    key: str | None
    """None where it depends on what an earlier stage has yet to make."""
    bytes: int | None
    """Of the model file: exact where cached, else expected; None where nothing says."""


@dataclass(frozen=True)
class Plan:
    """A dry run's answer."""

    recipe: str
    run: Path
    teacher_bytes: int | None
    stages: tuple[PlannedStage, ...]
    needed: int
    """Bytes of free disk the run should find."""
    free: int

    def to_dict(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe,
            "run": str(self.run),
            "teacher_bytes": self.teacher_bytes,
            "stages": [asdict(stage) for stage in self.stages],
            "disk": {"needed": self.needed, "free": self.free},
        }

    def rows(self) -> list[list[str]]:
        """The chain as rows of text, header first."""
        rows = [["stage", "takes", "makes", "MiB", "to do"]]
        if self.teacher_bytes is not None:
            rows.append(["00-teacher", "", "", mib_text(self.teacher_bytes), "given"])
        for stage in self.stages:
            about = "" if stage.cached else "about "
            size = "?" if stage.bytes is None else about + mib_text(stage.bytes)
            state = "finished" if stage.cached else "run"
            rows.append([stage.folder, stage.consumes, stage.produces, size, state])
        return rows

    def lines(self) -> list[str]:
        done = sum(stage.cached for stage in self.stages)
        return [
            f"{done} of {len(self.stages)} stages are finished",
            f"disk: about {self.needed >> 20:,} MiB needed, {self.free >> 20:,} MiB free",
        ]


def make_plan(
    recipe: Recipe,
    teacher: Path | None,
    folder: Path,
    digest_data: Digester = data_digest,
    rebuild: bool = False,
) -> Plan:
    """Look at everything a run would look at, and change nothing. ``rebuild``: keep nothing.

    Raises what the run would raise before its first stage.
    """
    given = open_teacher(teacher)
    options = RunOptions(rebuild=rebuild, digest_data=remembering(digest_data))
    check(recipe, given, folder, options)
    _check_loads(recipe, given)
    check_folder(folder)
    if not rebuild:
        check_same_run(folder, recipe, given)
    free = shutil.disk_usage(_existing(folder)).free
    _check_writable(_existing(folder))
    planner = _Planner(recipe, folder, given, options)
    stages = tuple(planner.plan(index) for index in range(len(recipe.steps)))
    waiting = [stage for stage in stages if not stage.cached]
    if waiting:
        place.check_room(_existing(folder), given.file.stat().st_size if given else 0)
    needed = sum(place.ROOM_FACTOR * (stage.bytes or 0) for stage in waiting)
    size = given.file.stat().st_size if given else None
    total = needed + (place.ROOM_FLOOR if waiting else 0)
    return Plan(recipe.name, folder, size, stages, total, free)


def _check_loads(recipe: Recipe, given: Artifact | None) -> None:
    """Raises what the first stage raises of a model whose tensors are not as it says."""
    first = recipe.steps[0].stage
    if given is None or first.consumes is not Kind.CHECKPOINT or not isinstance(first, Foreseen):
        return
    from hcompress.checkpoints.checkpoint import load_checkpoint

    load_checkpoint(given.opened)


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise EnvironmentFailed(f"{folder}: may not be written to: choose another --out")


def _existing(folder: Path) -> Path:
    """The nearest folder above that exists: where the run's bytes would go."""
    for candidate in (folder, *folder.absolute().parents):
        if candidate.is_dir():
            return candidate
    raise EnvironmentFailed(f"{folder}: no such disk")


def _check_labels(stage: Stage, known: AnyForecast | None) -> None:
    """Raises what the stage will raise of labels, with a model of which the characters are
    known."""
    if not (isinstance(stage, Labelled) and isinstance(known, Forecast)):
        return
    if known.vocabulary is not None:
        stage.check_labels(known.vocabulary, known.config.max_steps)


class _Planner:
    """Walks the chain with the keys the run would use."""

    def __init__(
        self, recipe: Recipe, folder: Path, teacher: Artifact | None, options: RunOptions
    ) -> None:
        self.recipe = recipe
        self.folder = folder
        self.teacher = teacher
        self.options = options
        self.key = teacher.key if teacher else None
        self.certain = True
        self.forecast: AnyForecast | None = forecast_of(teacher.opened) if teacher else None

    def plan(self, index: int) -> PlannedStage:
        step, name = self.recipe.steps[index], self.recipe.folder_name(index)
        options = stage_options(self.recipe, index, self.teacher, self.options)
        if step.stage.consumes is Kind.NOTHING:
            self.key = None
        ticket = pipeline.ticket_for(step.stage, self.key, options)
        found = None
        if self.certain and not self.options.rebuild:
            found, _ = pipeline.find_finished(self.folder / name, ticket.key)
        partials.check(partials.partial_of(self.folder / name))
        if found is None:
            place.check_name(self.folder / name, "", options.existing)
        self.key = ticket.key
        before, self.forecast = self.forecast, after(step.stage, self.forecast)
        if found is not None:
            self.forecast = forecast_of(found.opened) or self.forecast
        else:
            _check_labels(step.stage, before or self.forecast)
        if self.teacher is None and step.stage.produces is Kind.CHECKPOINT:
            self._teacher_made(found)
        expected = bytes_of(self.forecast) if self.forecast else None
        return PlannedStage(
            folder=name,
            stage=step.stage.name,
            consumes=step.stage.consumes,
            produces=step.stage.produces,
            parameters=self.recipe.to_dict()["stages"][index],
            cached=found is not None,
            key=ticket.key if self.certain or found else None,
            bytes=found.file.stat().st_size if found else expected,
        )

    def _teacher_made(self, found: Artifact | None) -> None:
        """A recipe that trains its own teacher: later keys hold once it is there."""
        self.teacher = found
        self.certain = found is not None
