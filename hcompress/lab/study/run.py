"""Runs a study: every variant with every seed, read line by line, and one table in the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hcompress import __version__
from hcompress.artifacts import folder as artifacts
from hcompress.artifacts.folder import Artifact
from hcompress.artifacts.manifest import Manifest
from hcompress.compute.lock import hold
from hcompress.errors import InputRefused, UsageError
from hcompress.lab.study.plan import EVALUATIONS, INDEX, Index, PlannedRun, StudyPlan, plan_study
from hcompress.lab.study.readings import Reading
from hcompress.lab.study.result import Run, Teacher, Weighed, make_result, trained, voted
from hcompress.lab.study.show import study_markdown
from hcompress.lab.study.spec import TEACHER, Study
from hcompress.runs.figures import measure
from hcompress.runs.keys import library_versions, remembering
from hcompress.runs.place import LOCK, apart_from_runs, check_out, made
from hcompress.runs.run_folder import is_new, take_back, whose
from hcompress.runs.shrink import RunOptions, run_recipe
from hcompress.strict.atomic import sweep, write_json, write_text

FORMAT: Final = 1
RESULT: Final = "study.json"
MARKDOWN: Final = "study.md"


@dataclass(frozen=True)
class StudyResult:
    """A finished study."""

    figures: dict[str, Any]
    """`study.json`."""
    json: Path
    markdown: Path


def run_study(
    study: Study, teacher: Path | None, folder: Path, options: RunOptions
) -> StudyResult | None:
    """Run what is not finished, read with what has not been read with, and publish the table.

    None on every process but the first. Raises UsageError before any work where something is
    wrong in any variant or the folder is not this study's, EnvironmentFailed where another
    process holds it, and whatever a stage raises: the same call then goes on from there.
    """
    options = replace(options, digest_data=remembering(options.digest_data))
    check_folder(study, folder)
    plan = plan_study(study, teacher, folder, options.digest_data)
    with _own(plan) if options.ranks.first else contextlib.nullcontext():
        _run_all(plan, teacher or study.teacher, options)
        return _publish(plan, options) if options.ranks.first else None


def check_folder(study: Study, folder: Path) -> None:
    """Raises UsageError where the folder holds a user's files, or another study."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: a file is there already: choose another --out")
    check_out(folder)
    if (folder / EVALUATIONS).is_symlink():  # what lies behind it would be written to
        raise UsageError(f"{folder / EVALUATIONS}: a link, and in the way: remove it")
    if not folder.is_dir():
        return
    index = whose(Index, folder / INDEX)
    if index is None and not is_new(folder):
        raise UsageError(f"{folder}: not empty and no study of ours: choose another --out")
    if index is not None and index.study != study.name:
        raise UsageError(f'{folder}: holds the study "{index.study}": choose another --out')


@contextlib.contextmanager
def _own(plan: StudyPlan) -> Iterator[None]:
    """The locked folder, with its index."""
    with made(plan.folder), apart_from_runs(plan.folder), hold(plan.folder / LOCK):
        fresh = is_new(plan.folder)
        sweep(plan.folder)
        write_json(
            plan.folder / INDEX,
            {
                "format": FORMAT,
                "study": plan.study.name,
                "teacher": plan.teacher.digest,
                "runs": [run.folder.name for run in plan.runs],
            },
        )
        try:
            yield
        except (UsageError, InputRefused):
            if fresh:
                take_back(plan.folder, (INDEX,))
            raise


def _run_all(plan: StudyPlan, teacher: Path | None, options: RunOptions) -> None:
    """All training comes before all reading: under torchrun nobody waits for the first to read."""
    shared = plan.finished()
    options = replace(options, shared=shared)
    for number, run in enumerate(plan.runs, 1):
        options.progress.say(f"run {number} of {len(plan.runs)}: {run.folder.name}")
        made = run_recipe(run.recipe, teacher, run.folder, options)
        shared.update((stage["key"], run.folder / stage["folder"]) for stage in made.stages)


def _publish(plan: StudyPlan, options: RunOptions) -> StudyResult:
    study = plan.study
    teacher = Teacher(
        plan.teacher.path.name, _weigh(plan.teacher), _read(plan, TEACHER, plan.teacher, options)
    )
    runs: dict[str, list[Run]] = {variant.name: [] for variant in study.variants}
    for run in plan.runs:
        runs[run.variant].append(_finished(plan, run, options))
    digests = {lines.name: lines.digest for lines in plan.tests}
    figures = make_result(study, teacher, runs, digests, _versions(plan))
    markdown = study_markdown(figures)
    write_json(plan.folder / RESULT, figures)
    write_text(plan.folder / MARKDOWN, markdown)
    return StudyResult(figures, plan.folder / RESULT, plan.folder / MARKDOWN)


def _versions(plan: StudyPlan) -> dict[str, str]:
    """Of the libraries that decide the models' bytes: keys hold them, so these are they."""
    names = {
        name for run in plan.runs for step in run.recipe.steps for name in step.stage.libraries
    }
    return {"hcompress": __version__, **library_versions(tuple(sorted(names)))}


def _finished(plan: StudyPlan, run: PlannedRun, options: RunOptions) -> Run:
    model = artifacts.open_artifact(run.model)
    manifests = [
        artifacts.read_manifest(run.folder / run.recipe.folder_name(index))
        for index in range(len(run.recipe.steps))
    ]
    images, seconds = _training(manifests)
    readings = _read(plan, run.folder.name, model, options)
    votes = next(filter(None, (voted(manifest.report) for manifest in manifests)), None)
    return Run(run.seed, run.folder.name, _weigh(model), images, seconds, readings, votes)


def _training(manifests: Sequence[Manifest]) -> tuple[int, float]:
    """Images learnt from, and the seconds of the stages that learnt; shared ones count in full."""
    learnt = [(trained(manifest.report), manifest.seconds) for manifest in manifests]
    images = sum(count for count, _ in learnt)
    return images, round(sum(seconds for count, seconds in learnt if count), 3)


def _read(plan: StudyPlan, name: str, model: Artifact, options: RunOptions) -> dict[str, Reading]:
    shelf = plan.shelf(name)
    return {lines.name: shelf.read(model, lines, options.progress) for lines in plan.tests}


def _weigh(model: Artifact) -> Weighed:
    breakdown = model.manifest.breakdown if model.manifest else measure(model.opened)[0]
    params = sum(part["params"] for part in breakdown["components"])
    return Weighed(model.digest, breakdown["bytes"], params)
