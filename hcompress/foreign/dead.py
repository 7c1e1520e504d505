"""Classes that can never be answered: columns that training has left as one shared vector.

V classes, d features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAR: Final = 0.3
"""How far from the shared vector, in its lengths, a column still counts as left there. Of PP-OCRv6
small's 2,463 such characters that fonts draw none was ever answered; from 0.3 to 0.5, 3 of 231."""
_CELL: Final = 0.004
"""How far apart, in mean lengths, columns may be among which the shared vector is looked for."""
FEWEST: Final = 8
"""So many columns don't come to be nearly equal by chance."""


def dead_classes(
    weights: NDArray[np.float32], biases: NDArray[np.float32], blank: int | None = None
) -> NDArray[np.int64]:
    """The dead classes' ids, ascending: weights [V, d] and biases [V].

    Two kinds. Of columns that are equal, all whose bias is not the greatest: the other always
    wins. And all columns that lie about one vector, if there are many: nobody trained them.
    The blank is never among them.
    """
    dead = _beaten(weights, biases) | _shared(weights, biases)
    if blank is not None:
        dead[blank] = False
    return np.flatnonzero(dead).astype(np.int64)


def _beaten(weights: NDArray[np.float32], biases: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[V]: another column is the same, and has a greater bias, or stands before with the same."""
    _, group = np.unique(weights, axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.lexsort((np.arange(len(biases)), -biases, group))
    first = np.ones(len(order), bool)
    first[1:] = group[order][1:] != group[order][:-1]
    beaten = np.ones(len(order), bool)
    beaten[order[first]] = False
    return beaten


def _shared(weights: NDArray[np.float32], biases: NDArray[np.float32]) -> NDArray[np.bool_]:
    """[V]: within `NEAR` of the vector that most columns share, if `FEWEST` do."""
    rows = np.concatenate([weights, biases[:, None]], 1)
    none = np.zeros(len(rows), bool)
    scale = float(np.linalg.norm(rows, axis=1).mean())
    if scale == 0.0 or not np.isfinite(scale):
        return none
    cells = np.rint(rows[:, : min(16, rows.shape[1])] / (_CELL * scale)).astype(np.int64)
    _, group, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    if counts.max() < FEWEST:
        return none
    centre = np.median(rows[group.reshape(-1) == int(counts.argmax())], axis=0)
    near: NDArray[np.bool_] = np.linalg.norm(rows - centre, axis=1) <= NEAR * np.linalg.norm(centre)
    return near if near.sum() >= FEWEST else none
