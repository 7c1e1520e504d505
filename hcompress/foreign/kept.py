"""What a changed recogniser keeps of another's answers, frame by frame and line by line.

M frames, V classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hcompress.foreign.check import common

if TYPE_CHECKING:
    from numpy.typing import NDArray

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

    def texts(self, spec: ForeignSpec) -> list[str]:
        ends = np.cumsum(self.lengths)[:-1]
        return [spec.text(part.tolist()) for part in np.split(self.ids, ends)]


def answers(
    features: Sequence[Floats], weight: Floats, bias: Floats, *, chances: bool = True
) -> Answers:
    """Of lines of features [T, d], by a classifier [V, d] and [V].

    Without ``chances`` the probabilities, which take longer than the answers, are all 1.
    """
    whole = np.concatenate(features)
    ids = np.empty(len(whole), np.int64)
    probabilities = np.ones(len(whole), np.float32)
    for start in range(0, len(whole), AT_ONCE):
        scores = whole[start : start + AT_ONCE] @ weight.T + bias
        part = slice(start, start + len(scores))
        ids[part] = scores.argmax(1)
        if chances:
            probabilities[part] = 1 / np.exp(scores - scores.max(1, keepdims=True)).sum(1)
    return Answers(ids, probabilities, tuple(map(len, features)))


@dataclass(frozen=True)
class Kept:
    """Shares, 0 to 1, of what the original answers; None if there is nothing of the kind."""

    same_text: float
    """Of lines."""
    frames: float | None
    """Of frames that are no blank."""
    sure_frames: float | None
    """Of those of which the original is sure."""
    rare_frames: float | None
    """Of these, those whose character is none of those that everybody trains on."""


def kept(before: Answers, after: Answers, spec: ForeignSpec) -> Kept:
    """What ``after`` keeps of ``before``."""
    everyday = set(common(spec.characters))
    rare = np.array([one not in everyday for one in spec.classes])
    same = before.ids == after.ids
    spoken = before.ids != spec.blank
    sure = spoken & (before.probabilities > SURE)
    pairs = zip(before.texts(spec), after.texts(spec), strict=True)
    return Kept(
        float(np.mean([one == other for one, other in pairs])),
        _share(same, spoken),
        _share(same, sure),
        _share(same, sure & rare[before.ids]),
    )


def _share(same: NDArray[np.bool_], among: NDArray[np.bool_]) -> float | None:
    return float(same[among].mean()) if among.any() else None
