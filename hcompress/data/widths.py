"""Training batches of lines about as wide as each other, where an input takes any width.

A batch is as wide as its widest line, and padding costs as much as text. How wide a line is nobody
knows before it is read or drawn: lines of a few steps are made together, sorted by width and cut
into those steps' batches, which then come in an order by chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from hcompress.data.batches import Batch, collated, cut, map_chunks

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource
    from hcompress.spec.preprocessing import Preprocessing


WINDOW: Final = 8
"""Steps whose lines are sorted together."""


class _Windows:
    """A window's number and its indices to its batches, in whatever process calls it."""

    def __init__(
        self, source: DataSource, preprocessing: Preprocessing, batch_size: int, seed: int
    ) -> None:
        self._source = source
        self._preprocessing = preprocessing
        self._batch_size = batch_size
        self._seed = seed

    def __call__(self, window: tuple[int, Sequence[int]]) -> list[Batch]:
        number, indices = window
        size = self._preprocessing
        samples = [self._source[index] for index in indices]
        widths = [size.width_of(*sample.image.shape[:2]) for sample in samples]
        order: list[int] = np.argsort(widths, kind="stable").tolist()
        made = [
            collated([samples[place] for place in part], [indices[place] for place in part], size)
            for part in cut(order, self._batch_size)
        ]
        shuffled = np.random.default_rng([self._seed, number]).permutation(len(made))
        return [made[place] for place in shuffled.tolist()]


def batches_by_width(
    source: DataSource,
    indices: Callable[[int, int], Sequence[int]],
    batch_size: int,
    steps: tuple[int, int],
    preprocessing: Preprocessing,
    workers: int,
    seed: int,
) -> Iterator[Batch]:
    """A batch for every step from ``steps[0]`` up to ``steps[1]``, the same wherever it begins.

    ``indices`` gives those of the steps from one up to another, ``batch_size`` a step. Raises as
    `batches.batches`.
    """
    first, end = steps
    windows = [
        (number, indices(number * WINDOW, min(end, (number + 1) * WINDOW)))
        for number in range(first // WINDOW, -(-end // WINDOW))
    ]
    made = map_chunks(_Windows(source, preprocessing, batch_size, seed), windows, workers)
    yield from islice((batch for window in made for batch in window), first % WINDOW, None)
