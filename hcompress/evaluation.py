"""How well a model reads: accuracy with its interval, 1-NED, calibration, and comparisons.

A reader is anything that turns fitted images into readings; `open_reader` picks one by what
the model is. Only a checkpoint's needs torch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from hcompress.artifact import open_source
from hcompress.errors import InputRefused
from hcompress.progress import NoProgress
from hcompress.stages.base import Kind, Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.data.source import DataSource
    from hcompress.recogniser.config import Preprocessing

    Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]

Z: Final = 1.959964
"""Standard deviations of a two-sided 95% interval."""
BATCH: Final = 32
CALIBRATION_BINS: Final = 10
SAMPLES: Final = 24
MOST_WRONG: Final = 200


class Reading(Protocol):
    """What a model made of one image."""

    @property
    def text(self) -> str: ...

    @property
    def confidence(self) -> float:
        """0 to 1: the product over the decoding steps, the EOS step included."""
        ...

    @property
    def candidates(self) -> Sequence[Any]:
        """The best few characters of each step with their probabilities."""
        ...


class Reader(Protocol):
    """A model that reads."""

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What images have to be fitted to; None: it takes them as they are."""
        ...

    @property
    def characters(self) -> Sequence[str]:
        """What it can answer."""
        ...

    def read(self, images: Images) -> Sequence[Reading]:
        """A reading for each RGB image, h x w x 3 of any size, or N x height x width x 3."""
        ...


@dataclass(frozen=True)
class Line:
    """One line of the data and how it was read."""

    index: int
    truth: str
    read: str
    confidence: float

    @property
    def right(self) -> bool:
        return self.read == self.truth


def open_reader(model: Path) -> Reader:
    """A reader for a checkpoint or an ONNX file, or an artifact folder holding one.

    Raises UsageError where there is nothing and InputRefused where it is not a model that
    reads, or is damaged.
    """
    found = open_source(model)
    if found.kind is Kind.ONNX:
        from hcompress.runtime import OnnxReader

        return OnnxReader(found.file)
    if found.kind is Kind.CHECKPOINT:
        from hcompress.recogniser.reader import TorchReader

        return TorchReader(found.file)
    raise InputRefused(f"{found.file}: an engine is read on its GPU server: give its ONNX file")


def read_lines(
    reader: Reader,
    source: DataSource,
    images: int | None = None,
    progress: Progress | None = None,
    workers: int = 0,
) -> list[Line]:
    """The first ``images`` lines of the data (None: all), read in order."""
    count = len(source) if images is None else min(images, len(source))
    if count == 0:
        raise InputRefused("data: it holds no images: nothing to read")
    progress = progress or NoProgress()
    progress.start("reading", count)
    lines: list[Line] = []
    for batch, texts, indices in _batches(source, count, reader.preprocessing, workers):
        readings = reader.read(batch)
        lines += [
            Line(index, truth, reading.text, float(reading.confidence))
            for index, truth, reading in zip(indices, texts, readings, strict=True)
        ]
        progress.advance(len(indices))
    progress.finish()
    return lines


def _batches(
    source: DataSource, count: int, size: Preprocessing | None, workers: int
) -> Iterator[tuple[Images, list[str], list[int]]]:
    """The first ``count`` images, their texts and indices; as they are where ``size`` is None."""
    if size is not None:
        from hcompress.data.batches import batches

        yield from batches(source, range(count), BATCH, size, workers)
        return
    for start in range(0, count, BATCH):
        indices = list(range(start, min(start + BATCH, count)))
        samples = [source[index] for index in indices]
        yield [sample.image for sample in samples], [sample.text for sample in samples], indices


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
) -> dict[str, Any]:
    """Accuracy of a model on data, as `hcompress eval --json` prints it.

    ``accuracy`` (0 to 1) counts lines read exactly, a character outside the charset making its
    line wrong; its Wilson 95% interval is beside it. ``ned`` is the mean over lines of
    1 - edit distance / length of the longer text. Calibration is over ten equal bins.
    ``model_digest``: the model file's SHA-256, by which others know what was measured. ``of``:
    characters that are counted apart from the others, as `of_characters` says.
    """
    started = time.monotonic()
    lines = read_lines(reader, source, images, progress, workers)
    return {
        "model": model,
        "model_digest": model_digest,
        "data": data,
        "data_digest": source.digest,
        **summarise(lines),
        **({} if of is None else {"of": of_characters(lines, of)}),
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
            for line in lines
            if not line.right
        ][:MOST_WRONG],
    }


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


def mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)


def wilson(right: int, count: int) -> tuple[float, float]:
    """The Wilson 95% interval of a fraction ``right / count``, within 0 to 1."""
    share, z2 = right / count, Z * Z
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    spread = share * (1 - share) / count + z2 / (4 * count * count)
    half = Z * math.sqrt(spread) / (1 + z2 / count)
    # At 0 and at 1 the bounds meet the share, and rounding must not carry them past it.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def similarity(truth: str, read: str) -> float:
    """1 - edit distance / length of the longer text; 1 for two empty ones."""
    from rapidfuzz.distance import Levenshtein

    return float(Levenshtein.normalized_similarity(truth, read))


def calibration_error(lines: Sequence[Line]) -> float:
    """Expected calibration error: |confidence - accuracy| by confidence bin, weighted."""
    bins: list[list[Line]] = [[] for _ in range(CALIBRATION_BINS)]
    for line in lines:
        place = int(line.confidence * CALIBRATION_BINS)
        bins[min(max(place, 0), CALIBRATION_BINS - 1)].append(line)
    return math.fsum(
        abs(math.fsum(line.confidence - line.right for line in entry)) for entry in bins
    ) / len(lines)


def paired(before: Sequence[Line], after: Sequence[Line]) -> dict[str, Any]:
    """Two models on the same lines: lines lost and won, and the change in points.

    The 95% interval is that of paired proportions after Agresti and Min (2005): half a pair
    added to each cell of the 2 x 2 table.
    """
    lost = sum(one.right and not two.right for one, two in zip(before, after, strict=True))
    won = sum(two.right and not one.right for one, two in zip(before, after, strict=True))
    count = len(before) + 2
    up, down = won + 0.5, lost + 0.5
    centre = (up - down) / count
    half = Z * math.sqrt(max(0.0, up + down - (up - down) ** 2 / count)) / count
    return {
        "lost": lost,
        "won": won,
        "change": 100 * (won - lost) / len(before),
        "change_low": 100 * max(-1.0, centre - half),
        "change_high": 100 * min(1.0, centre + half),
    }


def characters(before: Sequence[Line], after: Sequence[Line]) -> list[dict[str, Any]]:
    """Characters of the truth that the second model misreads more or less often, worst first."""
    seen: dict[str, list[int]] = {}
    for place, lines in enumerate((before, after)):
        for line in lines:
            for character, wrong in zip(line.truth, misread(line.truth, line.read), strict=True):
                tally = seen.setdefault(character, [0, 0, 0])
                tally[place] += wrong
                tally[2] += place == 0
    rows = [
        {"character": character, "count": count, "wrong_before": old, "wrong_after": new}
        for character, (old, new, count) in seen.items()
        if old != new
    ]
    return sorted(rows, key=_worsening)


def _worsening(row: Mapping[str, Any]) -> tuple[int, str]:
    return row["wrong_before"] - row["wrong_after"], row["character"]


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


def misread(truth: str, read: str) -> list[bool]:
    """For each character of ``truth``, whether the best alignment has it replaced or lost."""
    from rapidfuzz.distance import Levenshtein

    wrong = [False] * len(truth)
    for step in Levenshtein.editops(truth, read):
        if step.tag != "insert":
            wrong[step.src_pos] = True
    return wrong
