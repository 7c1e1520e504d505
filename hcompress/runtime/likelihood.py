"""How likely a text is among columns that each answer a class or a blank.

T columns, k candidates, S = 2L + 1 places of a path: a blank before, between and behind characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def text_chance(
    ids: NDArray[np.int64], chances: NDArray[np.float32], label: Sequence[int], blank: int
) -> float:
    """The probability of ``label`` over all its paths, from candidates [T, k] of every column.

    Where exactly a character begins is no doubt of what it is: of the one path that was read, no
    more than a part. What is no candidate counts as impossible.
    """
    import numpy as np

    places = np.full(2 * len(label) + 1, blank, np.int64)
    places[1::2] = label
    here = (ids[:, None, :] == places[None, :, None]) * chances[:, None, :].astype(np.float64)
    found = here.sum(2)  # [T, S]
    skips = np.zeros(len(places))
    skips[3::2] = places[3::2] != places[1:-2:2]
    paths = np.zeros(len(places))
    paths[:2] = 1
    paths *= found[0]
    for column in found[1:]:
        reached = paths.copy()
        reached[1:] += paths[:-1]
        reached[2:] += paths[:-2] * skips[2:]
        paths = reached * column
    return float(paths[-2:].sum())
