"""From a run folder to the report's model. Reads JSON only: no weights, no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hcompress.artifacts.folder import MANIFEST, read_manifest
from hcompress.artifacts.manifest import Manifest
from hcompress.errors import InputRefused
from hcompress.reports.caveats import limits
from hcompress.reports.codes import read_codes
from hcompress.reports.model import Accuracy, Reading, RunReport, StageEntry
from hcompress.reports.samples import choose_samples
from hcompress.reports.size_table import Column, column
from hcompress.strict.json import Fields, read_fields

TEACHER: Final = "00-teacher"


def load_report(run: Path) -> RunReport:
    """Everything a report says of the run in ``run``, the images of its samples aside.

    Stages without a finished artifact are left out, so a run cut short has a report too.
    Raises InputRefused, naming file and field, where a file is missing, damaged or not ours.
    """
    index = read_fields(run / "run.json")
    recipe = read_fields(run / "recipe.json")
    teacher = read_fields(run / f"{TEACHER}.json")
    made = [
        (entry, read_manifest(run / folder_name(entry)))
        for entry in index.tables("stages")
        if (run / folder_name(entry) / MANIFEST).is_file()
    ]
    folders = [TEACHER, *(folder_name(entry) for entry, _ in made)]
    accuracies = _accuracies(run, folders)
    characters = teacher.maybe_whole("characters")
    columns = [_column(teacher.where, "teacher", teacher.raw, characters)]
    columns += [
        _column(
            str(run / folder_name(entry)),
            entry.text("label"),
            dataclasses.asdict(manifest),
            characters,
        )
        for entry, manifest in made
    ]
    stages = tuple(_stage(entry, manifest) for entry, manifest in made)
    report = RunReport(
        name=recipe.text("name", run.name),
        summary=recipe.text("summary", ""),
        teacher=teacher.raw,
        columns=tuple(
            dataclasses.replace(entry, accuracy=_shown_accuracy(accuracies, step))
            for step, entry in enumerate(columns)
        ),
        stages=stages,
        accuracies=accuracies,
        codes=read_codes(stages),
        samples=choose_samples(accuracies, [entry.name for entry in columns]),
        recipe=recipe.raw,
        versions=_versions(index, stages),
        limits=(),
    )
    return dataclasses.replace(report, limits=limits(report))


def folder_name(entry: Fields) -> str:
    """The folder of a stage, as the index has it; refused where it leads out of the run."""
    name = entry.text("folder")
    if not name or name != Path(name).name or name == "..":
        raise InputRefused(f"{entry.where}: folder: {name!r} is not a folder of this run")
    return name


def _column(where: str, name: str, raw: Mapping[str, Any], characters: int | None) -> Column:
    try:
        techniques = [str(technique) for technique in raw.get("techniques", ())]
        return column(name, techniques, raw["breakdown"], characters=characters)
    except (KeyError, TypeError, ValueError) as error:
        raise InputRefused(f"{where}: breakdown: damaged ({error})") from None


def _stage(entry: Fields, manifest: Manifest) -> StageEntry:
    return StageEntry(
        folder=folder_name(entry),
        stage=manifest.stage.name,
        status=entry.text("status", "done"),
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
    raw = read_fields(path)
    confidence = raw.table("confidence")
    return Accuracy(
        name=path.stem,
        step=step,
        data=raw.text("data"),
        data_digest=raw.text("data_digest", ""),
        images=raw.whole("images"),
        accuracy=raw.number("accuracy"),
        low=raw.number("accuracy_low"),
        high=raw.number("accuracy_high"),
        ned=raw.number("ned"),
        confidence=confidence.maybe_number("mean"),
        ece=confidence.maybe_number("ece"),
        seconds=raw.number("seconds"),
        samples=_readings(raw.tables("samples")),
        wrong=_readings(raw.tables("wrong")),
    )


def _readings(rows: Sequence[Fields]) -> tuple[Reading, ...]:
    return tuple(Reading(row.whole("index"), row.text("truth"), row.text("read")) for row in rows)


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


def _versions(index: Fields, stages: Sequence[StageEntry]) -> dict[str, str]:
    """The run's libraries, and those that only a stage's manifest names."""
    versions = {name: str(version) for name, version in index.table("versions").raw.items()}
    for entry in stages:
        for name, version in entry.versions.items():
            versions.setdefault(name, version)
    return dict(sorted(versions.items()))
