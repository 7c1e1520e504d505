"""What a run does not show, said from its own records and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from hcompress.reports.figures import short_name
from hcompress.reports.model import Accuracy, RunReport, accuracy_change
from hcompress.reports.size_table import PAPER_CHARACTERS

INTERVALS: Final = (
    "The intervals (Wilson, 95%) cover the draw of the lines only. Another seed of the training "
    "would give another model, and was not tried."
)

TEACHERS: Final[Mapping[str, str]] = {
    "57b15079d0e8f288a1b2667941ce016be12516c076177ea44857acaffd1e58f7": (
        "The teacher is a student grown back: its softmax columns are W^T s of an older Hamming "
        "model (mean cosine 0.9987), its embedding is that model's (R² 0.9999), and its three "
        "layers are copies of one whose matrices moved by 11 to 33%. So codes, whitening, shared "
        "layers and bottlenecks meet a teacher that was made for them: what they cost with an "
        "independent one was not measured."
    )
}
"""What has to be known of the shipped teachers, by the SHA-256 of their files."""


def rendered(data: Iterable[str]) -> str:
    """Of data that is rendered text."""
    return (
        f"{_listed(data)}: text rendered from fonts. What a model reads there says little about "
        "photographs."
    )


def looked_at(users: str, data: str) -> str:
    """Of data that is no test."""
    return (
        f"{users} looked at {short_name(data)} itself, to learn from it or to choose when to "
        "stop: accuracy on it is somewhat too good."
    )


def limits(report: RunReport) -> tuple[str, ...]:
    """Sentences for the end of a report, the gravest first."""
    return tuple(
        [
            *_reading(report),
            *teacher(report.teacher.get("digest")),
            *_data(report),
            *_hardware(report),
            *_sizes(report),
        ]
    )


def teacher(digest: object) -> tuple[str, ...]:
    """What has to be known of the teacher with this digest; nothing for most."""
    return (TEACHERS[digest],) if isinstance(digest, str) and digest in TEACHERS else ()


def _reading(report: RunReport) -> Iterator[str]:
    if len(report.columns) == 1:
        yield "No stage has finished: there is nothing to compare with the teacher yet."
    elif not report.accuracies:
        yield "Nothing was read: this run says nothing about accuracy."
    elif accuracy_change(report) is None:
        yield (
            f"The teacher and {report.last.name} were not both read on one set of lines: the loss "
            "from end to end was not measured."
        )
    read = {entry.step for entry in report.accuracies}
    unread = [column.name for step, column in enumerate(report.columns) if step not in read]
    if report.accuracies and unread:
        yield f"Not read: {', '.join(unread)}."


def _data(report: RunReport) -> Iterator[str]:
    sets: dict[str, Accuracy] = {}
    for entry in report.accuracies:
        sets.setdefault(entry.data_digest, entry)
    specs = [entry.data for entry in sets.values() if entry.data.endswith(".toml")]
    if specs:
        yield rendered(specs)
    for digest, entry in sets.items():
        users = [stage.folder for stage in report.stages if digest in stage.inputs.values()]
        if digest and users:
            yield looked_at(", ".join(users), entry.data)
    ignored = {what for entry in sets.values() for what in entry.ignored}
    if ignored:
        yield f"Not counted in how lines were read: {', '.join(sorted(ignored))}."
    if sets:
        yield INTERVALS


def _listed(data: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(short_name(entry) for entry in data))


def _hardware(report: RunReport) -> Iterator[str]:
    devices = {
        str(device)
        for stage in report.stages
        for key, value in _leaves(stage.figures)
        if key in ("device", "devices")
        for device in (value if isinstance(value, list) else [value])
    }
    if not devices:
        yield "No stage says which device it ran on: nothing here is shown to work on a GPU."
    elif not any(word in device for device in devices for word in ("cuda", "gpu")):
        yield "Every stage that says where it ran, ran on a CPU: nothing here was run on a GPU."
    for stage in report.stages:
        for _, value in _leaves(stage.figures):
            if isinstance(value, str) and "unverified" in value:
                yield f"{stage.folder}: {value}."


def _sizes(report: RunReport) -> Iterator[str]:
    yield (
        "Sizes are bytes on disk. A runtime may hold more in memory: it may unpack the codebook "
        "or widen FP16 weights."
    )
    if any(column.paper_mib is not None for column in report.columns):
        yield (
            f"The paper's sizes are for {PAPER_CHARACTERS:,} characters and its own backbone, "
            "whose layers it does not print."
        )


def _leaves(value: object, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value below ``value`` with the key it stands under; lists as one value."""
    if isinstance(value, Mapping):
        for name, entry in value.items():
            yield from _leaves(entry, str(name))
    else:
        yield key, value
