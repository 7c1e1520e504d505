"""Inputs of lines for calibration and distillation: windows as wide as a model takes its lines.

What pads a short line is part of it: half of a photographed line's frames may be padding, and what
follows in the graph mixes them with the others. What a body makes of a window of a long line is its
own answer too: nobody's label is cut by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hcompress.foreign.inputs import prepared, widened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.data.sample import DataSource
    from hcompress.spec.foreign import ImageInput

    Floats = NDArray[np.float32]


def windows(
    source: DataSource, places: Sequence[int], image: ImageInput, width: int, seed: int
) -> Floats:
    """[N, C, H, W]: a window of each line, as wide as the widest of them, up to ``width``.

    Narrower lines are padded as they would be. A graph that takes one width alone gets that one.
    """
    lines = [prepared(source[place].image, image) for place in places]
    width = min(max(width, image.minimum_width), max(line.shape[2] for line in lines))
    made = []
    for place, line in zip(places, lines, strict=True):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, place])))
        extra = line.shape[2] - width
        if extra > 0:
            # As often at the line's beginning, where text always stands, as anywhere else.
            start = int(rng.integers(extra + 1)) if rng.random() < 0.5 else 0
            line = line[:, :, start : start + width]
        elif extra < 0:
            line = widened(line, width, image)
        made.append(line)
    return np.stack(made).astype(np.float32)


def calibration(
    source: DataSource, count: int, image: ImageInput, width: int, batch: int, seed: int
) -> Iterator[Floats]:
    """The first ``count`` lines as batches."""
    most = 1 if image.single else batch
    places = range(min(count, len(source)))
    for start in range(0, len(places), most):
        yield windows(source, places[start : start + most], image, width, seed)
