"""What a changed recogniser keeps of another's answers: frames, characters, lines.

M frames, V classes. A frame is kept if its best class, at its very place, is the same. But a
character that moves by a frame is the same answer: characters are kept if they are read, wherever
they stand. `Kept` says what each share is of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hcompress.foreign.check import common
from hcompress.metrics import misread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.foreign.frames import Line
    from hcompress.spec.foreign import ForeignSpec

    Floats = NDArray[np.float32]

SURE: Final = 0.9
"""The probability from which an answer counts as sure. Below it the original itself is unsure,
and other answers are no worse."""
AT_ONCE: Final = 2048


@dataclass(frozen=True)
class Answers:
    """The best class of each frame of some lines."""

    ids: NDArray[np.int64]
    """[M]."""
    probabilities: Floats
    """[M], of the best class."""
    lengths: tuple[int, ...]
    """Frames of each line."""

    @classmethod
    def of(cls, lines: Sequence[Line]) -> Answers:
        """What a graph answered. At least one line."""
        return cls(
            np.concatenate([line.ids for line in lines]),
            np.concatenate([line.probabilities for line in lines]),
            tuple(len(line.ids) for line in lines),
        )

    def texts(self, spec: ForeignSpec) -> list[str]:
        return [spec.text(ids.tolist()) for ids in self._split(self.ids)]

    def characters(self, blank: int) -> list[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
        """Of each line the classes that it reads, blanks and repeats gone, and which are sure.

        A class is sure if any of its frames is: at its ends a character always fades.
        """
        sure = self.probabilities > SURE
        pairs = zip(self._split(self.ids), self._split(sure), strict=True)
        return [_collapsed(ids, certain, blank) for ids, certain in pairs]

    def _split(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        return np.split(values, np.cumsum(self.lengths)[:-1])


def _collapsed(
    ids: NDArray[np.int64], sure: NDArray[np.bool_], blank: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if not len(ids):
        return ids, sure
    starts = np.concatenate([[0], 1 + np.flatnonzero(np.diff(ids))])
    classes, certain = ids[starts], np.logical_or.reduceat(sure, starts)
    return classes[classes != blank], certain[classes != blank]


def answers(
    features: Sequence[Floats], weight: Floats, bias: Floats, *, chances: bool = True
) -> Answers:
    """Of lines of features [T, d], by a classifier [V, d] and [V].

    Without ``chances`` the probabilities, which take longer than the answers, are all 1.
    """
    return answers_by(features, lambda h: h @ weight.T + bias, chances=chances)


def answers_by(
    features: Sequence[Floats], scored: Callable[[Floats], Floats], *, chances: bool = True
) -> Answers:
    """The same by anything that gives features [M, d] scores [M, V]."""
    whole = np.concatenate(features)
    ids = np.empty(len(whole), np.int64)
    probabilities = np.ones(len(whole), np.float32)
    for start in range(0, len(whole), AT_ONCE):
        scores = scored(whole[start : start + AT_ONCE])
        part = slice(start, start + len(scores))
        ids[part] = scores.argmax(1)
        if chances:
            probabilities[part] = 1 / np.exp(scores - scores.max(1, keepdims=True)).sum(1)
    return Answers(ids, probabilities, tuple(map(len, features)))


@dataclass(frozen=True)
class Counts:
    """Of how many each share of a `Kept` is."""

    lines: int
    frames: int
    sure_frames: int
    rare_frames: int
    sure_characters: int


@dataclass(frozen=True)
class Kept:
    """Shares, 0 to 1, of what the original answers; None if there is nothing of the kind."""

    same_text: float
    """Of lines."""
    frames: float | None
    """Of frames that are no blank; None too if lines have other numbers of frames."""
    sure_frames: float | None
    """Of those of which the original is sure."""
    rare_frames: float | None
    """Of these, those whose character is none of those that everybody trains on."""
    sure_characters: float | None
    """Of characters with a sure frame: those that are read, by the best alignment of both lines'
    characters, whatever frames they stand in."""
    counts: Counts


def kept(before: Answers, after: Answers, spec: ForeignSpec) -> Kept:
    """What ``after`` keeps of ``before``: the same lines, answered in the same classes."""
    everyday = set(common(spec.characters))
    rare = np.array([one not in everyday for one in spec.classes])
    spoken = before.ids != spec.blank
    sure = spoken & (before.probabilities > SURE)
    rare_ones = sure & rare[before.ids]
    same = before.ids == after.ids if before.lengths == after.lengths else None
    pairs = zip(before.texts(spec), after.texts(spec), strict=True)
    found, count = _sure_characters(before, after, spec.blank)
    return Kept(
        float(np.mean([one == other for one, other in pairs])),
        _share(same, spoken),
        _share(same, sure),
        _share(same, rare_ones),
        found / count if count else None,
        Counts(
            len(before.lengths), int(spoken.sum()), int(sure.sum()), int(rare_ones.sum()), count
        ),
    )


def _sure_characters(before: Answers, after: Answers, blank: int) -> tuple[int, int]:
    """How many are read, and how many there are."""
    found = count = 0
    pairs = zip(before.characters(blank), after.characters(blank), strict=True)
    for (classes, sure), (others, _) in pairs:
        lost = np.array(misread(classes.tolist(), others.tolist()), np.bool_)
        found += int((sure & ~lost).sum())
        count += int(sure.sum())
    return found, count


def _share(same: NDArray[np.bool_] | None, among: NDArray[np.bool_]) -> float | None:
    return None if same is None or not among.any() else float(same[among].mean())
