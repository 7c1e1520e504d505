"""What a report says, as plain dataclasses: no files, no markup, nothing heavy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from hcompress.reports.size_table import Column, mib_text
from hcompress.strict.schema import Param

FORMAT: Final = 1


@dataclass(frozen=True)
class StageEntry:
    """One finished stage: where it is, what it was told, what it said."""

    folder: str
    stage: str
    status: str
    """As the run's index has it: made in this run, or kept from an earlier one."""
    key: str
    seed: int
    threads: int
    seconds: float
    finished: str
    parameters: Mapping[str, Any]
    figures: Mapping[str, Any]
    """What the stage itself reported."""
    files: Mapping[str, tuple[int, str]]
    """Name -> bytes and SHA-256."""
    inputs: Mapping[str, str]
    """Parameter -> digest of the data or file it named."""
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Reading:
    """One line of the test data and what a model made of it."""

    index: int
    truth: str
    read: str


@dataclass(frozen=True)
class Accuracy:
    """One evaluation: a model on one set of lines."""

    name: str
    """Of the evaluation's file, without its suffix."""
    step: int
    """Which column of the table was read: 0 is the teacher."""
    data: str
    data_digest: str
    images: Annotated[int, Param(minimum=1)]
    accuracy: Annotated[float, Param(minimum=0, maximum=1)]
    """Fraction of lines read exactly, 0 to 1."""
    low: Annotated[float, Param(key="accuracy_low")]
    high: Annotated[float, Param(key="accuracy_high")]
    """Ends of its Wilson 95% confidence interval."""
    ned: float
    """Mean over lines of 1 - edit distance / length of the longer text."""
    confidence: float | None
    """Mean confidence, 0 to 1."""
    ece: float | None
    """Expected calibration error of the confidence, 0 to 1."""
    seconds: float
    samples: tuple[Reading, ...]
    wrong: tuple[Reading, ...]
    ignored: tuple[str, ...] = ()
    """What did not count when texts were compared."""


@dataclass(frozen=True)
class Neighbour:
    """A character and its Hamming distance, in bits, from the one it is listed under."""

    character: str
    distance: int


@dataclass(frozen=True)
class Codes:
    """What the codebook stage said of its codes."""

    code_length: int
    nearest: tuple[tuple[str, tuple[Neighbour, ...]], ...]
    figures: Mapping[str, Any]
    """Everything else, as it stands in the manifest."""


@dataclass(frozen=True)
class Encoding:
    """One way to store a head, as it was weighed."""

    encoding: str
    bytes: int
    """Of the head."""
    loss: float
    """Points of lines right that it loses."""
    same_text: float | None = None
    frames_kept: float | None = None
    sure_frames_kept: float | None = None
    rare_frames_kept: float | None = None
    """Shares, 0 to 1; None if there was nothing to keep."""


@dataclass(frozen=True)
class Encodings:
    """All that were weighed, the smallest first, and the name of the one that was chosen."""

    chosen: str
    rows: tuple[Encoding, ...]


@dataclass(frozen=True)
class Comparison:
    """One line read by the teacher and by the last model."""

    index: int
    truth: str
    before: str
    after: str
    image: str | None = None
    """A PNG as a data URI, or None where the image could not be made again."""


@dataclass(frozen=True)
class Samples:
    """The lines shown before and after."""

    data: str
    data_digest: str
    before: str
    after: str
    lines: tuple[Comparison, ...]
    note: str = ""
    """Why there are no images, where there are none."""


@dataclass(frozen=True)
class RunReport:
    """Everything a page shows of one run."""

    name: str
    summary: str
    teacher: Mapping[str, Any]
    columns: tuple[Column, ...]
    stages: tuple[StageEntry, ...]
    accuracies: tuple[Accuracy, ...]
    codes: Codes | None
    encodings: Encodings | None
    samples: Samples | None
    recipe: Mapping[str, Any]
    versions: Mapping[str, str]
    limits: tuple[str, ...]

    @property
    def first(self) -> Column:
        return self.columns[0]

    @property
    def last(self) -> Column:
        return self.columns[-1]

    @property
    def seconds(self) -> float:
        """Time in stages, kept ones included; evaluation apart."""
        return sum(entry.seconds for entry in self.stages)

    def to_dict(self) -> dict[str, Any]:
        """As JSON: images left out (they belong to the page), columns with their paper size."""
        raw = dataclasses.asdict(self)
        raw["columns"] = [entry.to_dict() for entry in self.columns]
        if raw["samples"] is not None:
            for line in raw["samples"]["lines"]:
                del line["image"]
        return {"format": FORMAT, **raw}


def headline(report: RunReport) -> str:
    """The run in one sentence: size before and after, and how many times smaller."""
    first, last = report.first.bytes, report.last.bytes
    ratio = f", {first / last:.1f} times smaller" if 0 < last < first else ""
    return f"{mib_text(first)} → {mib_text(last)} MiB{ratio}"


def accuracy_change(report: RunReport) -> tuple[Accuracy, Accuracy] | None:
    """The teacher's and the last model's accuracy on the same data, the larger set first.

    None where the two were not both read on one set of lines.
    """
    pairs = [
        (before, after)
        for before in report.accuracies
        for after in report.accuracies
        if before.step == 0
        and after.step == len(report.columns) - 1
        and (before.data_digest, before.images) == (after.data_digest, after.images)
    ]
    return max(pairs, key=lambda pair: pair[0].images, default=None)


def duration_text(seconds: float) -> str:
    """Seconds as people say them: 8.3 s, 4 min 05 s, 1 h 02 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
