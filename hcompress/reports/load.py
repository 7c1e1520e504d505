"""From a run folder to the report's model. Reads JSON only: no weights, no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from hcompress.artifacts.folder import MANIFEST, read_manifest
from hcompress.artifacts.manifest import BreakdownRecord, Manifest
from hcompress.errors import InputRefused, UsageError
from hcompress.metrics import contradiction
from hcompress.reports.caveats import limits
from hcompress.reports.codes import read_codes
from hcompress.reports.encodings import read_encodings
from hcompress.reports.model import Accuracy, RunReport, StageEntry
from hcompress.reports.samples import choose_samples
from hcompress.reports.size_table import column
from hcompress.strict.json import read_json
from hcompress.strict.read import read
from hcompress.strict.seal import unsealed
from hcompress.strict.show import show

TEACHER: Final = "00-teacher"
T = TypeVar("T")


@dataclass(frozen=True)
class _IndexStage:
    """A stage in `run.json`."""

    folder: str
    label: str
    status: str = "done"

    def __post_init__(self) -> None:
        if not self.folder or self.folder != Path(self.folder).name or self.folder == "..":
            raise InputRefused(f"folder = {show(self.folder)}: not a folder of this run")


@dataclass(frozen=True)
class _Index:
    """What a report takes from `run.json`."""

    stages: tuple[_IndexStage, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Recipe:
    """What it takes from `recipe.json`."""

    name: str | None = None
    summary: str = ""


@dataclass(frozen=True)
class _Teacher:
    """What it takes from `00-teacher.json`."""

    breakdown: BreakdownRecord
    techniques: tuple[str, ...] = ()
    characters: int | None = None
    foreign: bool = False


@dataclass(frozen=True)
class _Confidence:
    mean: float | None = None
    ece: float | None = None


@dataclass(frozen=True)
class _Ignored:
    kinds: tuple[str, ...] = ()
    characters: str = ""


@dataclass(frozen=True)
class Evaluation:
    """What it takes from an evaluation, beside what `Accuracy` says."""

    model: str = ""
    model_digest: str = ""
    confidence: _Confidence = _Confidence()
    ignored: _Ignored = _Ignored()


_UNSAID: Final = {"data_digest": "", "samples": (), "wrong": ()}
"""What an evaluation may leave out."""


def load_report(run: Path) -> RunReport:
    """Everything a report says of the run in ``run``, the images of its samples aside.

    Stages without a finished artifact are left out, so a run cut short has a report too.
    Raises InputRefused, naming file and field, where a file is missing, damaged or not ours.
    """
    index, _ = read_view(_Index, run / "run.json")
    recipe, recipe_raw = read_view(_Recipe, run / "recipe.json")
    teacher, teacher_raw = read_view(_Teacher, run / f"{TEACHER}.json")
    made = [
        (entry, read_manifest(run / entry.folder))
        for entry in index.stages
        if (run / entry.folder / MANIFEST).is_file()
    ]
    folders = [TEACHER, *(entry.folder for entry, _ in made)]
    accuracies = _accuracies(run, folders)
    about = (None, teacher.characters, teacher.foreign)
    columns = [column("teacher", teacher.techniques, teacher_raw["breakdown"], *about)]
    columns += [
        column(entry.label, manifest.techniques, manifest.breakdown, *about)
        for entry, manifest in made
    ]
    stages = tuple(_stage(entry, manifest) for entry, manifest in made)
    report = RunReport(
        name=run.name if recipe.name is None else recipe.name,
        summary=recipe.summary,
        teacher=teacher_raw,
        columns=tuple(
            dataclasses.replace(entry, accuracy=_shown_accuracy(accuracies, step))
            for step, entry in enumerate(columns)
        ),
        stages=stages,
        accuracies=accuracies,
        codes=read_codes(stages),
        encodings=read_encodings(stages),
        samples=choose_samples(accuracies, [entry.name for entry in columns]),
        recipe=recipe_raw,
        versions=_versions(index, stages),
        limits=(),
    )
    return dataclasses.replace(report, limits=limits(report))


def read_view(kind: type[T], path: Path) -> tuple[T, dict[str, Any]]:
    """What is taken from a file, and all of it. Raises InputRefused if it is missing or damaged."""
    try:
        raw = read_json(path)
    except UsageError:
        raise InputRefused(f"{path}: missing: not a run's folder, or a run cut short") from None
    return read(kind, raw, str(path), only_known=False), raw


def _stage(entry: _IndexStage, manifest: Manifest) -> StageEntry:
    return StageEntry(
        folder=entry.folder,
        stage=manifest.stage.name,
        status=entry.status,
        key=manifest.key,
        seed=manifest.seed,
        threads=manifest.threads,
        seconds=manifest.seconds,
        finished=manifest.finished,
        parameters=manifest.stage.parameters,
        figures=manifest.report,
        files={name: (file.bytes, file.sha256) for name, file in manifest.files.items()},
        inputs=manifest.inputs,
        versions=manifest.versions,
    )


def _accuracies(run: Path, folders: Sequence[str]) -> tuple[Accuracy, ...]:
    """Every evaluation of a column that is there, in the order of the columns, then by name."""
    found = []
    for path in sorted((run / "evaluations").glob("*.json")):
        step = _step(path.stem, folders)
        if step is not None:
            found.append(read_accuracy(path, step))
    return tuple(sorted(found, key=lambda entry: (entry.step, entry.name)))


def _step(stem: str, folders: Sequence[str]) -> int | None:
    """Which column an evaluation's file is of: it begins with the folder's name."""
    return next(
        (
            step
            for step, folder in enumerate(folders)
            if stem == folder or stem.startswith((f"{folder}.", f"{folder}-"))
        ),
        None,
    )


def read_accuracy(path: Path, step: int) -> Accuracy:
    """One evaluation as `hcompress eval --json` writes it."""
    found, raw = read_view(Evaluation, path)
    raw = unsealed(raw, str(path))
    sure = {"confidence": found.confidence.mean, "ece": found.confidence.ece}
    ignored = {"ignored": [*found.ignored.kinds, *found.ignored.characters]}
    flat = {**_UNSAID, **raw, **sure, **ignored, "name": path.stem, "step": step}
    entry = read(Accuracy, flat, str(path), only_known=False)
    wrong = contradiction(entry.images, entry.accuracy, (entry.low, entry.high), entry.ned)
    if wrong is not None:
        raise InputRefused(f"{path}: {wrong}: measure again")
    return entry


def _shown_accuracy(accuracies: Sequence[Accuracy], step: int) -> float | None:
    """What the table shows for a column: the set that most columns were read on.

    One set for the whole row: accuracies on different lines do not compare.
    """
    digest = main_data(accuracies)
    return next(
        (
            entry.accuracy
            for entry in accuracies
            if entry.step == step and (entry.data_digest, entry.images) == digest
        ),
        None,
    )


def main_data(accuracies: Sequence[Accuracy]) -> tuple[str, int] | None:
    """Digest and number of lines of the set read after most stages; the larger on a tie."""
    counts: dict[tuple[str, int], int] = {}
    for entry in accuracies:
        key = (entry.data_digest, entry.images)
        counts[key] = counts.get(key, 0) + 1
    return max(counts, key=lambda key: (counts[key], key[1], key[0]), default=None)


def _versions(index: _Index, stages: Sequence[StageEntry]) -> dict[str, str]:
    """The run's libraries, and those that only a stage's manifest names."""
    versions = dict(index.versions)
    for entry in stages:
        for name, version in entry.versions.items():
            versions.setdefault(name, version)
    return dict(sorted(versions.items()))
