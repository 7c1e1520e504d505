"""The parts of a report that Markdown and HTML say alike, as rows of plain text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hcompress.reports.figures import accuracy_text, short_name
from hcompress.reports.model import (
    Accuracy,
    Codes,
    RunReport,
    StageEntry,
    accuracy_change,
    duration_text,
    headline,
)
from hcompress.reports.size_table import percent_text

_LONGEST: Final = 240
"""Characters of one value a page shows; report.json holds all of it."""
ACCURACY_HEADER: Final = (
    "lines",
    "read exactly, % (95% interval)",
    "1−NED, %",
    "confidence",
    "calibration error",
)


def flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every value below a JSON object as (dotted key, text), in the object's order."""
    for key, entry in value.items():
        if isinstance(entry, Mapping) and entry:
            yield from flat(entry, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value_text(entry)


def value_text(value: object) -> str:
    """A JSON value on one line; long ones cut, and marked as cut."""
    if value is None or value == []:
        return "–"
    if isinstance(value, list) and len(value) > 1 and isinstance(value[0], Mapping):
        return f"{len(value):,} entries, in report.json"
    if isinstance(value, str):
        text = value
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif isinstance(value, int) and not isinstance(value, bool):
        text = f"{value:,}" if abs(value) >= 10_000 else str(value)
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"


def outcome_rows(report: RunReport) -> list[tuple[str, str]]:
    """What the run came to: bytes, accuracy from end to end, time."""
    rows = [("Size on disk", headline(report))]
    pair = accuracy_change(report)
    if pair is not None:
        before, after = pair
        change = 100 * (after.accuracy - before.accuracy)
        rows.append(
            (
                f"Lines read exactly, of {before.images:,} in {short_name(before.data)}",
                f"{percent_text(before.accuracy)} → {percent_text(after.accuracy)} %"
                f" ({_signed(change)} points)",
            )
        )
    return [*rows, ("Time in stages", duration_text(report.seconds))]


def summary_rows(report: RunReport) -> list[tuple[str, str]]:
    """The run in a few lines: what a reader in a hurry takes away."""
    rows = outcome_rows(report)
    if report.stages:
        entry = report.stages[-1]
        rows += [
            (f"{entry.folder}/{name}", f"{size:,} bytes, SHA-256 {digest}")
            for name, (size, digest) in sorted(entry.files.items())
        ]
    return rows


def _signed(points: float) -> str:
    return f"{points:+.2f}".replace("-", "−")


def accuracy_rows(report: RunReport) -> list[list[str]]:
    """Every evaluation: header first. Accuracy with Wilson's 95% interval, in per cent."""
    rows = [["after", "data", *ACCURACY_HEADER, "time"]]
    for entry in report.accuracies:
        rows.append(
            [
                report.columns[entry.step].name,
                short_name(entry.data),
                *accuracy_cells(entry),
                duration_text(entry.seconds),
            ]
        )
    return rows


def accuracy_cells(entry: Accuracy) -> list[str]:
    """One evaluation under `ACCURACY_HEADER`."""
    return [
        f"{entry.images:,}",
        accuracy_text(entry),
        percent_text(entry.ned),
        _unit_text(entry.confidence),
        _unit_text(entry.ece),
    ]


def _unit_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def code_rows(codes: Codes) -> list[tuple[str, str]]:
    """The codebook's statistics as (name, text)."""
    return [("code length", f"{codes.code_length} bits"), *flat(codes.figures)]


def stage_rows(entry: StageEntry) -> list[tuple[str, str]]:
    """One stage's settings, figures, inputs and files as (name, text)."""
    figures = {key: value for key, value in entry.figures.items() if key != "nearest"}
    return [
        ("status", entry.status),
        ("key", entry.key),
        ("seed, threads", f"{entry.seed}, {entry.threads}"),
        ("time", f"{duration_text(entry.seconds)}, finished {entry.finished}"),
        *flat(entry.parameters, "parameter "),
        *flat(figures, "figure "),
        *((f"input {name}", f"SHA-256 {digest}") for name, digest in entry.inputs.items()),
        *(
            (f"file {name}", f"{size:,} bytes, SHA-256 {digest}")
            for name, (size, digest) in sorted(entry.files.items())
        ),
    ]


def run_rows(report: RunReport) -> list[tuple[str, str]]:
    """What is needed to make the run again: teacher, data digests, recipe, versions."""
    teacher = {key: value for key, value in report.teacher.items() if key != "breakdown"}
    digests = {entry.data: entry.data_digest for entry in report.accuracies}
    seed = report.recipe.get("seed")
    return [
        *flat(teacher, "teacher "),
        *((f"data {name}", f"SHA-256 {digest}") for name, digest in digests.items()),
        *([] if seed is None else [("seed", str(seed))]),
        *((f"version {name}", version) for name, version in report.versions.items()),
    ]
