"""Every encoding of a classifier, fitted and judged on lines that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hcompress.foreign.dead import dead_classes
from hcompress.foreign.kept import Answers, Kept, answers, answers_by, kept
from hcompress.heads.encodings.by_distance import ByDistance, by_distance
from hcompress.heads.encodings.encode import Encoded, Evidence, Teacher, encoded
from hcompress.heads.encodings.menu import Encoding
from hcompress.metrics import Ignore, Ignored, folded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.foreign.model import ForeignModel
    from hcompress.progress import Progress
    from hcompress.spec.foreign import ForeignSpec

    Floats = NDArray[np.float32]

SURE_KEPT: Final = 0.998
"""Of sure frames, what the chosen encoding must keep."""
FRAMES_KEPT: Final = 0.99
"""Of all frames that are no blank: what is unsure on drawn lines is much of a photograph."""
RARE_KEPT: Final = 0.995
"""Of sure frames of rare characters."""
COUNTED: Final = Ignored(frozenset((Ignore.CASE, Ignore.SPACE)))
"""A changed head moves the boundary between blank and space, which looks like a gain, and is
none."""


@dataclass(frozen=True)
class Judged:
    """Lines that an encoding is judged on."""

    features: Sequence[Floats]
    """[T, d] of each."""
    texts: Sequence[str]
    """What they say; empty if nobody knows."""


@dataclass(frozen=True)
class Row:
    """One encoding, measured."""

    encoding: str
    bytes: int
    """Of the head."""
    file_bytes: int
    """Of the file with this head and everything else as it is."""
    kept: Kept
    loss: float
    """Points of lines right that it loses, case and spaces ignored; points of lines with another
    text if nobody knows what they say."""
    offered: bool = True
    """Whether a file can have it: what is only set beside others can't be chosen."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "encoding": self.encoding,
            "bytes": self.bytes,
            "file_bytes": self.file_bytes,
            "same_text": self.kept.same_text,
            "frames_kept": self.kept.frames,
            "sure_frames_kept": self.kept.sure_frames,
            "rare_frames_kept": self.kept.rare_frames,
            "loss": self.loss,
            "offered": self.offered,
        }

    def holds(self, max_loss: float) -> bool:
        """Whether it may be chosen."""
        every, sure, rare = self.kept.frames, self.kept.sure_frames, self.kept.rare_frames
        return (
            self.loss <= max_loss + 1e-9
            and (every is None or every >= FRAMES_KEPT)
            and (sure is None or sure >= SURE_KEPT)
            and (rare is None or rare >= RARE_KEPT)
        )


def teacher_of(model: ForeignModel) -> Teacher:
    """The classifier of a model: the blank stays in floats."""
    weight, bias = model.class_weights()
    dead = dead_classes(weight, bias, model.spec.blank)
    return Teacher(weight, bias, (model.spec.blank,), dead.astype(np.intp))


def never_answered(teacher: Teacher, features: Sequence[Floats]) -> Teacher:
    """The teacher without those of its dead classes that were answered after all."""
    seen = np.unique(answers(features, teacher.weight, teacher.bias, chances=False).ids)
    dead = np.setdiff1d(teacher.dead, seen)
    return Teacher(teacher.weight, teacher.bias, teacher.special, dead)


def evidence_of(features: Sequence[Floats], teacher: Teacher, blank: int) -> Evidence:
    """From the frames that the teacher does not take for blank. At least one."""
    return Evidence.of(np.concatenate(features)[_spoken(features, teacher, blank)], teacher)


def says_something(features: Sequence[Floats], teacher: Teacher, blank: int) -> bool:
    """Whether the teacher takes any frame for something else than blank."""
    return bool(_spoken(features, teacher, blank).any())


def _spoken(features: Sequence[Floats], teacher: Teacher, blank: int) -> NDArray[np.bool_]:
    """[M]."""
    found: NDArray[np.bool_] = (
        answers(features, teacher.weight, teacher.bias, chances=False).ids != blank
    )
    return found


def rows(
    encodings: Sequence[Encoding],
    teacher: Teacher,
    evidence: Evidence,
    judged: Judged,
    spec: ForeignSpec,
    other_bytes: int,
    progress: Progress,
    max_loss: float | None = None,
) -> list[Row]:
    """Each encoding, fitted to the evidence and judged. ``other_bytes``: the file without head.

    With ``max_loss``, once one does not hold, those of its kind that follow, which are smaller,
    are left out: they keep less still. Without it, codes are also met as the paper has it.
    """
    before = answers(judged.features, teacher.weight, teacher.bias)
    progress.start("encodings", len(encodings))
    found: list[Row] = []
    fallen: set[str] = set()
    for one in encodings:
        if one.kind not in fallen:
            made = encoded(teacher, evidence, one.fit)
            found.append(row(one.name, made, before, judged, spec, other_bytes))
            if max_loss is None:
                ways = by_distance(made, teacher, evidence)
                found += [beside(way, before, judged, spec, found[-1]) for way in ways]
            elif not found[-1].holds(max_loss):
                fallen.add(one.kind)
        progress.advance(1, one.name)
    progress.finish()
    return found


def row(
    name: str,
    made: Encoded,
    before: Answers,
    judged: Judged,
    spec: ForeignSpec,
    other_bytes: int,
) -> Row:
    after = answers(judged.features, *made.floats(), chances=False)
    found, loss = _judged(before, after, judged, spec)
    return Row(name, made.bytes, other_bytes + made.bytes, found, loss)


def beside(way: ByDistance, before: Answers, judged: Judged, spec: ForeignSpec, same: Row) -> Row:
    """What the codes of ``same`` keep, met in another way."""
    after = answers_by(judged.features, way.scores, chances=False)
    found, loss = _judged(before, after, judged, spec)
    return Row(way.name, same.bytes, same.file_bytes, found, loss, offered=False)


def _judged(
    before: Answers, after: Answers, judged: Judged, spec: ForeignSpec
) -> tuple[Kept, float]:
    found = kept(before, after, spec)
    lost = _lost(before, after, judged, spec)
    return found, 100 * (1 - found.same_text if lost is None else lost)


def _lost(before: Answers, after: Answers, judged: Judged, spec: ForeignSpec) -> float | None:
    """The share of lines right that is gone; None if nobody knows what the lines say."""
    known = [place for place, text in enumerate(judged.texts) if text]
    if not known:
        return None
    truth = [folded(judged.texts[place], COUNTED) for place in known]
    return _right(before.texts(spec), known, truth) - _right(after.texts(spec), known, truth)


def _right(read: Sequence[str], known: Sequence[int], truth: Sequence[str]) -> float:
    pairs = zip(known, truth, strict=True)
    return float(np.mean([folded(read[place], COUNTED) == text for place, text in pairs]))


def chosen(found: Sequence[Row], max_loss: float) -> Row:
    """The smallest that holds; the one that keeps most if none does."""
    offered = [one for one in found if one.offered]
    able = [one for one in offered if one.holds(max_loss)]
    if able:
        return min(able, key=lambda one: one.bytes)
    return max(offered, key=lambda one: (one.kept.sure_frames or 0.0, one.kept.same_text))
