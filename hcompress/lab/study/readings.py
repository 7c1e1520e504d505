"""How teacher and runs read the test sets: measured once per model and data, kept line by line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hcompress.artifacts.folder import Artifact
from hcompress.errors import InputRefused
from hcompress.evaluation.evaluate import Line, read_lines, summarise
from hcompress.evaluation.readers import open_reader
from hcompress.lab.study.spec import Lines
from hcompress.progress import Progress
from hcompress.strict.atomic import write_text
from hcompress.strict.seal import recall_sealed, sealed
from hcompress.strict.write import plain

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource


FORMAT: Final = 2


@dataclass(frozen=True)
class Reading:
    """What one model made of one test set. Texts stay on disk: thirty of these are in memory."""

    right: tuple[bool, ...]
    """Whether each line was read exactly, in the data's order."""
    figures: Mapping[str, Any]
    """As `evaluation.summarise` has them."""


@dataclass(frozen=True)
class OpenLines:
    """A test set, opened once: its digest may take minutes."""

    name: str
    source: DataSource
    digest: str
    images: int


def open_lines(lines: Lines) -> OpenLines:
    """Raises UsageError where there is no such data, InputRefused where it is damaged or empty."""
    from hcompress.data.source import open_data

    source = open_data(lines.data)
    if len(source) == 0:  # before hours of training, not after
        raise InputRefused(f"{lines.data}: it holds no images: nothing to read")
    return OpenLines(lines.name, source, source.digest, min(lines.images, len(source)))


@dataclass(frozen=True)
class _File:
    """A file of readings: which model read which data, and each line's truth, text, confidence."""

    format: int
    model_digest: str
    data_digest: str
    images: int
    lines: tuple[tuple[str, str, float], ...] = ()


@dataclass(frozen=True)
class Shelf:
    """The readings of one model, a file a test set: ``folder/SET.json``."""

    folder: Path

    def place(self, lines: OpenLines) -> Path:
        return self.folder / f"{lines.name}.json"

    def known(self, model: Artifact, lines: OpenLines) -> Reading | None:
        """The finished reading, or None where there is none of this model and this data."""
        found = recall_sealed(_File, self.place(lines))
        if found is None or replace(found, lines=()) != _empty(model, lines):
            return None
        if len(found.lines) != lines.images:
            return None
        return _reading([Line(index, *row) for index, row in enumerate(found.lines)])

    def read(self, model: Artifact, lines: OpenLines, progress: Progress) -> Reading:
        """The finished reading, or a new one."""
        found = self.known(model, lines)
        if found is not None:
            return found
        progress.say(f"reading {lines.name} with {self.folder.name}")
        read = read_lines(open_reader(model.opened), lines.source, lines.images, progress)
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = tuple((line.truth, line.read, line.confidence) for line in read)
        # ASCII: a lone surrogate in somebody's label stays an escape.
        file = replace(_empty(model, lines), lines=rows)
        text = json.dumps(sealed(plain(file)), allow_nan=False)
        write_text(self.place(lines), text + "\n")
        return _reading(read)


def _empty(model: Artifact, lines: OpenLines) -> _File:
    return _File(FORMAT, model.digest, lines.digest, lines.images)


def _reading(lines: list[Line]) -> Reading:
    return Reading(tuple(line.right for line in lines), summarise(lines))
