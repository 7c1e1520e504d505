"""How well a model reads: accuracy with its interval, 1-NED, calibration, and comparisons.

A reader is anything that turns images into readings; `open_reader` picks one by what
the model is. Only a checkpoint's needs torch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from hcompress.data.batches import each_sample, in_groups
from hcompress.data.order import drawn_as_they_lie, sampled
from hcompress.errors import InputRefused
from hcompress.evaluation.labels import pieces_of, unmatched
from hcompress.evaluation.readers import Reader
from hcompress.metrics import (
    MOST_WRONG,
    READING,
    Ignored,
    folded,
    mean,
    misread,
    similarity,
    wilson,
)
from hcompress.progress import NoProgress, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.data.sample import DataSource, Sample


BATCH: Final = 32
CALIBRATION_BINS: Final = 10
SAMPLES: Final = 24
COUNT_ALL: Final = Ignored()
"""Texts are equal if every character is."""


@dataclass(frozen=True)
class Line:
    """One line of the data and how it was read."""

    index: int
    truth: str
    read: str
    confidence: float
    pieces: int = 1
    """How many the line was cut into."""

    @property
    def right(self) -> bool:
        return self.read == self.truth

    def folded(self, ignored: Ignored) -> Line:
        """The line without what is ignored, in both of its texts."""
        truth, read = folded(self.truth, ignored), folded(self.read, ignored)
        return replace(self, truth=truth, read=read)


def read_lines(
    reader: Reader,
    source: DataSource,
    images: int | None = None,
    progress: Progress | None = None,
    workers: int = 0,
) -> list[Line]:
    """All lines of the data, or ``images`` of them by chance, the same each time; read in order.

    As `hcompress read` reads them, from images as they are: what is measured is what is served.
    """
    chosen = drawn_as_they_lie(source, len(source) if images is None else images)
    if not chosen:
        raise InputRefused("data: it holds no images: nothing to read")
    progress = progress or NoProgress()
    progress.start("reading", len(chosen))
    lines: list[Line] = []
    for samples in in_groups(each_sample(source, chosen, workers), _image, BATCH):
        indices = chosen[len(lines) : len(lines) + len(samples)]
        readings = reader.read([sample.image for sample in samples])
        lines += [
            Line(index, sample.text, reading.text, float(reading.confidence), pieces_of(reading))
            for index, sample, reading in zip(indices, samples, readings, strict=True)
        ]
        progress.advance(len(samples))
    progress.finish()
    return lines


def _image(sample: Sample) -> NDArray[np.uint8]:
    return sample.image


def evaluate(
    reader: Reader,
    source: DataSource,
    images: int | None = None,
    *,
    model: str = "",
    model_digest: str = "",
    data: str = "",
    progress: Progress | None = None,
    workers: int = 0,
    of: frozenset[str] | None = None,
    ignored: Ignored = COUNT_ALL,
    lists_digest: str | None = None,
) -> dict[str, Any]:
    """Accuracy of a model on data, as `hcompress eval --json` prints it.

    ``accuracy`` (0 to 1) counts lines read exactly, a character outside the charset making its
    line wrong; its Wilson 95% interval is beside it. ``ned`` is the mean over lines of
    1 - edit distance / length of the longer text. Calibration is over ten equal bins.
    ``images``: so many of the lines by chance, the same each time; None: all.
    ``model_digest``: the model file's SHA-256, by which others know what was measured;
    ``lists_digest``: that of the lists beside it which may name its classes. ``of``:
    characters that are counted apart from the others, as `of_characters` says. ``ignored``:
    what does not count in any figure; samples and wrong lines show their texts as they are.
    """
    started = time.monotonic()
    lines = read_lines(reader, source, images, progress, workers)
    order = sampled(source, len(lines))
    counted = [line.folded(ignored) for line in lines] if ignored else lines
    wrong = unmatched(counted, reader, ignored)
    return {
        "model": model,
        "model_digest": model_digest,
        "reading": READING,
        **({} if lists_digest is None else {"lists_digest": lists_digest}),
        "data": data,
        "data_digest": source.digest,
        **({} if order is None else {"order": order}),
        **({"ignored": ignored.to_dict()} if ignored else {}),
        **summarise(counted),
        **({} if wrong is None else {"unmatched": wrong}),
        **({} if of is None else {"of": of_characters(counted, _folded_each(of, ignored))}),
        "seconds": round(time.monotonic() - started, 3),
        "samples": [
            {
                "index": line.index,
                "truth": line.truth,
                "read": line.read,
                "confidence": round(line.confidence, 6),
            }
            for line in lines[:SAMPLES]
        ],
        "wrong": [
            {"index": line.index, "truth": line.truth, "read": line.read}
            for line, judged in zip(lines, counted, strict=True)
            if not judged.right
        ][:MOST_WRONG],
    }


def _folded_each(characters: frozenset[str], ignored: Ignored) -> frozenset[str]:
    return frozenset(folded(character, ignored) for character in characters)


def summarise(lines: Sequence[Line]) -> dict[str, Any]:
    """The figures alone. At least one line."""
    right = sum(line.right for line in lines)
    low, high = wilson(right, len(lines))
    return {
        "images": len(lines),
        "accuracy": right / len(lines),
        "accuracy_low": low,
        "accuracy_high": high,
        "ned": mean(similarity(line.truth, line.read) for line in lines),
        "confidence": {
            "mean": mean(line.confidence for line in lines),
            "ece": calibration_error(lines),
        },
    }


def calibration_error(lines: Sequence[Line]) -> float:
    """Expected calibration error: |confidence - accuracy| by confidence bin, weighted."""
    bins: list[list[Line]] = [[] for _ in range(CALIBRATION_BINS)]
    for line in lines:
        place = int(line.confidence * CALIBRATION_BINS)
        bins[min(max(place, 0), CALIBRATION_BINS - 1)].append(line)
    return math.fsum(
        abs(math.fsum(line.confidence - line.right for line in entry)) for entry in bins
    ) / len(lines)


def of_characters(lines: Iterable[Line], chosen: frozenset[str]) -> dict[str, Any]:
    """Characters of the truth that are read right, the chosen ones and the others apart.

    Right is what the best alignment of truth and reading has in its place. ``accuracy`` is None
    where there is no such character.
    """
    counts = {True: [0, 0], False: [0, 0]}
    for line in lines:
        for character, wrong in zip(line.truth, misread(line.truth, line.read), strict=True):
            tally = counts[character in chosen]
            tally[0] += 1
            tally[1] += not wrong
    return {
        name: {"count": count, "right": right, "accuracy": right / count if count else None}
        for name, (count, right) in (("these", counts[True]), ("others", counts[False]))
    }
