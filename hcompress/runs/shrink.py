"""A recipe in a run folder: every stage in turn, measured, and the table as it grows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from hcompress.artifacts.folder import Artifact
from hcompress.artifacts.kinds import Kind
from hcompress.artifacts.source import open_source
from hcompress.compute.ranks import Ranks
from hcompress.errors import InputRefused
from hcompress.foreign.header import is_foreign
from hcompress.progress import NoProgress, Progress
from hcompress.reports.size_table import Column, column
from hcompress.runs import runner as pipeline
from hcompress.runs.accuracy import Accuracy
from hcompress.runs.figures import measure
from hcompress.runs.keys import Digester, data_digest, library_versions, remembering
from hcompress.runs.place import Existing, check_apart
from hcompress.runs.recipe import Recipe
from hcompress.runs.run_folder import EVALUATIONS, TEACHER, check_same_run, own
from hcompress.runs.runner import StageOptions
from hcompress.sizes import characters_of
from hcompress.stages.base import check_inside
from hcompress.strict.atomic import write_json

FORMAT: Final = 1
READABLE: Final = (Kind.CHECKPOINT, Kind.ONNX)
"""What accuracy can be measured of here."""
Show = Callable[[Sequence[Column]], None]


@dataclass(frozen=True)
class RunOptions:
    """Everything about a run but its recipe, its teacher and its folder."""

    progress: Progress = field(default_factory=NoProgress)
    show: Show = lambda _columns: None
    """Called with the table so far after each stage made in this run but the last: the whole
    table is in the result."""
    rebuild: bool = False
    ranks: Ranks = field(default_factory=Ranks)
    digest_data: Digester = data_digest
    shared: Mapping[str, Path] = field(default_factory=dict)
    """Finished artifacts of other runs by key: linked in, not made again."""


@dataclass(frozen=True)
class RunResult:
    """What a finished run has to show."""

    folder: Path
    columns: tuple[Column, ...]
    before: Mapping[str, Any] | None
    """The teacher's evaluation on the final data."""
    after: Mapping[str, Any] | None
    """The last readable stage's."""
    model: Path
    """The last ONNX file, or the last model where the recipe exports none."""
    reports: tuple[Path, ...]
    stages: tuple[Mapping[str, Any], ...]

    accuracy: Accuracy

    def check_loss(self) -> None:
        """Raises NumericalError where more accuracy was lost than the recipe allows."""
        self.accuracy.check_loss(self.before, self.after)

    def to_dict(self) -> dict[str, Any]:
        return {
            "run": str(self.folder),
            "model": str(self.model),
            "bytes": self.model.stat().st_size,
            "before": _figures(self.before),
            "after": _figures(self.after),
            "stages": [dict(stage) for stage in self.stages],
            "table": [entry.to_dict() for entry in self.columns],
            "reports": [str(path) for path in self.reports],
        }


def _figures(evaluation: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    return {key: value for key, value in evaluation.items() if key not in ("samples", "wrong")}


def run_recipe(
    recipe: Recipe, teacher: Path | None, folder: Path, options: RunOptions
) -> RunResult:
    """Run ``recipe`` in ``folder``, keeping every finished stage whose key still holds.

    Raises UsageError before any work where the chain or an input is wrong or the folder is not
    a run's, EnvironmentFailed where another run holds it. Whether too much accuracy was lost
    is for the caller to ask, when the result has been shown: `RunResult.check_loss`.
    """
    source = open_teacher(teacher)
    options = replace(options, digest_data=remembering(options.digest_data))
    check(recipe, source, folder, options)
    first = options.ranks.first
    with own(folder) if first else contextlib.nullcontext():
        if not options.rebuild:
            check_same_run(folder, recipe, source)
        return _Run(recipe, source, folder, options).execute()


def open_teacher(path: Path | None) -> Artifact | None:
    return None if path is None else open_source(path)


def check(recipe: Recipe, teacher: Artifact | None, folder: Path, options: RunOptions) -> None:
    """Raises UsageError where the chain does not fit together, an input is not there, or it lies
    where the run would write; and what the first stage says of the teacher.

    The model is looked at before the data: that may take minutes, and fonts.
    """
    start = teacher.kind if teacher else Kind.NOTHING
    pipeline.check_chain([(step.label, step.stage) for step in recipe.steps], start)
    if teacher is not None and recipe.steps:
        check_inside(recipe.steps[0].stage, teacher.opened)
    inputs = [path for step in recipe.steps for path in pipeline.inputs_of(step.stage, teacher)]
    for index in range(len(recipe.steps)):
        check_apart(folder / recipe.folder_name(index), inputs)
    for index, step in enumerate(recipe.steps):
        pipeline.ticket_for(step.stage, None, stage_options(recipe, index, teacher, options))
    if recipe.evaluate is not None:
        for path in (recipe.evaluate.data, recipe.evaluate.final):
            if path is not None:
                options.digest_data(path)


class _Run:
    """One execution of a recipe: the index, and what has been finished so far."""

    def __init__(
        self, recipe: Recipe, teacher: Artifact | None, folder: Path, options: RunOptions
    ) -> None:
        self.recipe = recipe
        self.teacher = teacher
        self.folder = folder
        self.options = options
        self.accuracy = Accuracy(
            recipe.evaluate, folder / EVALUATIONS, options.progress, recipe.import_options
        )
        self.columns: list[Column] = []
        self.characters: int | None = None
        self.foreign = False
        self.stages: list[dict[str, Any]] = []
        self.last_readable: tuple[str, Artifact] | None = None
        self.model: Path | None = None

    def execute(self) -> RunResult:
        self._write_index()
        if self.teacher is not None:
            self._record_teacher(self.teacher)
        source = self.teacher
        for index, step in enumerate(self.recipe.steps):
            source = self._step(index, source if step.stage.consumes is not Kind.NOTHING else None)
        before, after = self._final_accuracy()
        reports = self._report()
        if self.model is None or source is None:
            raise InputRefused(f"{self.folder}: the recipe made no model")
        return RunResult(
            folder=self.folder,
            columns=tuple(self.columns),
            before=before,
            after=after,
            model=self.model,
            reports=reports,
            stages=tuple(self.stages),
            accuracy=self.accuracy,
        )

    def _step(self, index: int, source: Artifact | None) -> Artifact:
        step = self.recipe.steps[index]
        name = self.recipe.folder_name(index)
        options = stage_options(self.recipe, index, self.teacher, self.options)
        key = pipeline.ticket_for(step.stage, source.key if source else None, options).key
        entry = {"folder": name, "label": step.label, "stage": step.stage.name, "key": key}
        self.stages.append({**entry, "status": "running"})
        self._write_index()
        self.options.progress.say(f"stage {index + 1} of {len(self.recipe.steps)}: {name}")
        made, kept = pipeline.settle_stage(step.stage, source, self.folder / name, options)
        self.stages[-1]["status"] = "kept" if kept else "done"
        self._write_index()
        if self.teacher is None and made.kind is Kind.CHECKPOINT:
            self.teacher = made
            self._record_teacher(made)
        self._measure(name, made)
        if not kept and index + 1 < len(self.recipe.steps):
            self.options.show(self.columns)
        return made

    def _measure(self, name: str, made: Artifact) -> None:
        """Accuracy, and the stage's column of the table."""
        if made.kind is Kind.ONNX or self.model is None or self.model.suffix != ".onnx":
            self.model = made.file
        if not self.options.ranks.first:
            return
        value = None
        if made.kind in READABLE:
            self.last_readable = (name, made)
            value = self.accuracy.after_stage(name, made)
        if made.manifest is not None:
            techniques, breakdown = made.manifest.techniques, made.manifest.breakdown
            about = (value, self.characters, self.foreign)
            self.columns.append(column(name, techniques, breakdown, *about))

    def _record_teacher(self, teacher: Artifact) -> None:
        """`00-teacher.json`, and the table's first column."""
        if not self.options.ranks.first:
            return
        if teacher.manifest is not None:
            breakdown: Mapping[str, Any] = teacher.manifest.breakdown
            techniques: Sequence[str] = teacher.manifest.techniques
        else:
            breakdown, techniques = measure(teacher.opened)
        self.characters = characters_of(teacher.opened)
        self.foreign = is_foreign(teacher.opened)
        write_json(
            self.folder / f"{TEACHER}.json",
            {
                "format": FORMAT,
                "model": str(teacher.path),
                "digest": teacher.digest,
                "key": teacher.key,
                "kind": teacher.kind,
                "characters": self.characters,
                "foreign": self.foreign,
                "techniques": list(techniques),
                "breakdown": breakdown,
            },
        )
        value = self.accuracy.after_stage(TEACHER, teacher)
        about = (value, self.characters, self.foreign)
        self.columns.insert(0, column(TEACHER, techniques, breakdown, *about))

    def _final_accuracy(self) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
        if not self.options.ranks.first or self.last_readable is None or self.teacher is None:
            return None, None
        before = self.accuracy.final(TEACHER, self.teacher)
        return before, self.accuracy.final(*self.last_readable)

    def _report(self) -> tuple[Path, ...]:
        if not self.options.ranks.first:
            return ()
        from hcompress.reports import write_report

        paths = write_report(self.folder)
        return paths.json, paths.markdown, paths.html

    def _write_index(self) -> None:
        """`recipe.json` and `run.json`: what the run is, and how far it has come."""
        if not self.options.ranks.first:
            return
        libraries = {name for step in self.recipe.steps for name in step.stage.libraries}
        teacher = self.teacher
        write_json(
            self.folder / "run.json",
            {
                "format": FORMAT,
                "recipe": self.recipe.name,
                "seed": self.recipe.seed,
                "threads": self.recipe.threads,
                "teacher": teacher
                and {
                    "model": str(teacher.path),
                    "digest": teacher.digest,
                    "kind": teacher.kind,
                    "key": teacher.key,
                },
                "stages": self.stages,
                "versions": library_versions(tuple(sorted(libraries))),
            },
        )
        if not self.stages:
            write_json(self.folder / "recipe.json", self.recipe.to_dict())


def stage_options(
    recipe: Recipe, index: int, teacher: Artifact | None, options: RunOptions
) -> StageOptions:
    """How the recipe's step ``index`` is run."""
    return StageOptions(
        seed=recipe.seed_of(index),
        threads=recipe.threads,
        teacher=teacher,
        progress=options.progress,
        rebuild=options.rebuild,
        existing=Existing.OWNED,
        ranks=options.ranks,
        digest_data=options.digest_data,
        shared=options.shared,
    )
