"""Which frame of a line shows which of its characters, known to the model or not.

T frames, V classes, n characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_LEAST: Final = 1e-6
"""What a frame shows has this probability at least: a line may be all blank to the model."""
_NEVER: Final = -1e30


def aligned(chances: Floats, blank: int, label: Sequence[int | None]) -> NDArray[np.intp] | None:
    """[T]: the place in the label that each frame shows, -1 for blank: CTC's best path.

    ``chances`` [T, V] are probabilities. A character without a class is None: where it stands, the
    frame is surely neither blank nor any of the label's other characters. None if there are too few
    frames.
    """
    states = _emissions(chances, blank, label)
    if len(chances) < len(label) + _repeats(label):
        return None
    path = _best_path(states, _may_skip(label))
    return np.where(path % 2 == 1, path // 2, -1)


def _emissions(chances: Floats, blank: int, label: Sequence[int | None]) -> NDArray[np.float64]:
    """[T, 2 n + 1] logarithms: blank, the first character, blank, ..."""
    made = np.empty((len(chances), 2 * len(label) + 1))
    made[:, 0::2] = chances[:, blank, None]
    known = [blank, *{one for one in label if one is not None}]
    other = 1 - chances[:, known].max(1)
    for place, one in enumerate(label):
        made[:, 2 * place + 1] = other if one is None else chances[:, one]
    made[:] = np.log(np.maximum(made, _LEAST))
    return made


def _repeats(label: Sequence[int | None]) -> int:
    """Characters that follow themselves: a blank has to stand between."""
    return sum(one is not None and one == other for one, other in pairwise(label))


def _may_skip(label: Sequence[int | None]) -> NDArray[np.bool_]:
    """[2 n + 1]: whether a state may follow the character before without a blank."""
    made = np.zeros(2 * len(label) + 1, np.bool_)
    for place in range(1, len(label)):
        made[2 * place + 1] = label[place] is None or label[place] != label[place - 1]
    return made


def _best_path(states: NDArray[np.float64], skip: NDArray[np.bool_]) -> NDArray[np.intp]:
    """[T] -> the state of each frame, from one of the first two to one of the last two."""
    frames, count = states.shape
    score = np.full(count, _NEVER)
    score[:2] = states[0, :2]
    came = np.zeros((frames, count), np.intp)
    for frame in range(1, frames):
        ways = np.full((3, count), _NEVER)
        ways[0], ways[1, 1:] = score, score[:-1]
        ways[2, 2:] = np.where(skip[2:], score[:-2], _NEVER)
        came[frame] = ways.argmax(0)
        score = ways.max(0) + states[frame]
    path = np.empty(frames, np.intp)
    state = count - 1 if count == 1 or score[-1] >= score[-2] else count - 2
    for frame in reversed(range(frames)):
        path[frame] = state
        state -= came[frame, state]
    return path
