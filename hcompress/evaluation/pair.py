"""Two models read the same lines: their texts, and their frames if both are from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hcompress.errors import InputRefused, UsageError
from hcompress.evaluation.compare import FOLDING, common_lines, compare_lines, compare_texts
from hcompress.evaluation.evaluate import COUNT_ALL, read_lines
from hcompress.evaluation.labels import unmatched
from hcompress.evaluation.readers import open_reader
from hcompress.foreign.header import foreign_header, is_foreign
from hcompress.foreign.kept import Answers, Kept, kept
from hcompress.foreign.options import AS_FOUND, ImportOptions
from hcompress.metrics import Ignored
from hcompress.runtime.foreign_reader import ForeignReader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.data.sample import DataSource
    from hcompress.evaluation.readers import Reader
    from hcompress.foreign.frames import Line
    from hcompress.formats.open import ModelFile
    from hcompress.progress import Progress
    from hcompress.runtime.reading import Reading


def compare_readers(
    before: Reader,
    after: Reader,
    source: DataSource,
    images: int | None = None,
    progress: Progress | None = None,
    *,
    with_peer: bool = False,
    ignored: Ignored = COUNT_ALL,
) -> dict[str, Any]:
    """What two models make of the data, or of ``images`` lines of it by chance, the same for both.

    As `hcompress compare --json` prints it under "reading". If the data says of no line what it
    says, only the texts that differ are told. ``with_peer``: only lines whose every character both
    know count, as `common_lines` has them. ``ignored``: what does not count in what is read right.
    """
    readers = [_watched(before), _watched(after)]
    old, new = (read_lines(reader, source, images, progress) for reader in readers)
    common = None
    if with_peer:
        total = len(old)
        old, new = common_lines(old, new, [reader.characters for reader in readers])
        common = {"read": total, "counted": len(old), "equal_after": FOLDING}
    labelled = any(line.truth for line in old)
    found = compare_lines(old, new, ignored) if labelled else compare_texts(old, new)
    if labelled:
        _say_unmatched(found, (old, new), readers, ignored)
    answers = _frames_kept(*readers)
    shares = None if answers is None else _shares(answers)
    return {"labelled": labelled, "common": common, **found, "kept": shares}


def _say_unmatched(
    found: dict[str, Any],
    lines: Sequence[Sequence[Any]],
    readers: Sequence[Reader],
    ignored: Ignored,
) -> None:
    """Beside each model's accuracy, the labels that it could not have matched."""
    for side, read, reader in zip("ab", lines, readers, strict=True):
        wrong = unmatched([line.folded(ignored) for line in read], reader, ignored)
        if wrong is not None:
            found[side]["unmatched"] = wrong


def open_original(
    file: ModelFile, made: ModelFile, progress: Progress, options: ImportOptions = AS_FOUND
) -> Reader:
    """A reader for ``file``, of which ``made`` may have been made.

    If a recogniser from elsewhere does not say what its classes are, and what was made of it does,
    it is read as that says. Raises as `open_reader`.
    """
    try:
        return open_reader(file, options)
    except (InputRefused, UsageError) as error:
        header = foreign_header(made)
        if header is None or not is_foreign(file) or foreign_header(file) is not None:
            raise
        reader = ForeignReader(file, spec=header.spec)
        progress.say(f"{error}; read with the charset of {made.path}")
        return reader


class FrameReader:
    """Reads as a foreign reader does, and remembers the best class of every frame, in order."""

    def __init__(self, reader: ForeignReader) -> None:
        self._reader = reader
        self._lines: list[Line] = []
        self.spec = reader.spec

    @property
    def characters(self) -> tuple[str, ...]:
        """What it can answer."""
        return self._reader.characters

    def read(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[Reading]:
        """As `ForeignReader.read`, with no candidates but the best."""
        lines = self._reader.lines(images)
        self._lines += [line for line, _ in lines]
        return [reading for _, reading in lines]

    def answers(self) -> Answers:
        """Of all lines read so far; at least one."""
        return Answers.of(self._lines)


def _watched(reader: Reader) -> Reader:
    return FrameReader(reader) if isinstance(reader, ForeignReader) else reader


def _frames_kept(before: Reader, after: Reader) -> Kept | None:
    """None unless both are from elsewhere and have the same classes: else no frame of one says
    anything of the other's."""
    if not (isinstance(before, FrameReader) and isinstance(after, FrameReader)):
        return None
    old, new = before.spec, after.spec
    if (old.classes, old.blank) != (new.classes, new.blank):
        return None
    return kept(before.answers(), after.answers(), old)


def _shares(found: Kept) -> dict[str, Any]:
    """By the names that `plan --json` has, each with what it is a share of."""
    counts = found.counts
    rows = {
        "same_text": (found.same_text, counts.lines),
        "frames_kept": (found.frames, counts.frames),
        "sure_frames_kept": (found.sure_frames, counts.sure_frames),
        "rare_frames_kept": (found.rare_frames, counts.rare_frames),
        "sure_characters_kept": (found.sure_characters, counts.sure_characters),
    }
    return {name: {"share": share, "of": of} for name, (share, of) in rows.items()}
