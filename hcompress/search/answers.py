"""What a search answers. N queries, k candidates of each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Found(NamedTuple):
    """The nearest codes, nearest first, ties to the lowest id."""

    ids: NDArray[np.int64]
    """[N, k]."""
    distances: NDArray[np.int32]
    """[N, k]: bits that differ."""


class Ranked(NamedTuple):
    """The nearest codes, with the probability that the recogniser gives them."""

    ids: NDArray[np.int64]
    """[N, k]."""
    distances: NDArray[np.int32]
    """[N, k]: bits that differ."""
    probabilities: NDArray[np.float32]
    """[N, k]: softmax over all readable ids of -distance / temperature; see `refined`."""
