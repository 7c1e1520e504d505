"""Other letters from the same font: width, weight, slant and outline, a line at a time.

A recogniser that has learnt from a dozen typefaces knows those; one that has seen their letters
bent in every direction reads new ones better. For training data alone: test lines are drawn
with fonts as they are.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from hcompress.data.render.draw import ROOM

if TYPE_CHECKING:
    from numpy.typing import NDArray


WIDEST = math.log(1.35)
"""Log of the most that a line is stretched at full strength; condensed by as much."""
SLANT = 0.3
"""Tangent of the most a line leans, either way."""
BEND = 2.2
"""Pixels that a mesh point of a line 40 pixels high is moved by at most."""
CELL = (24, 14)
"""Pixels between mesh points (across, down): about half a letter."""


def bent(
    rng: np.random.Generator, canvas: NDArray[np.uint8], pens: list[float], strength: float
) -> tuple[NDArray[np.uint8], list[float]]:
    """The canvas (rows x columns of ink) with other letterforms, and its pens moved with them.

    Each change is made to half of the lines or more, from little to as much as ``strength``
    (0 to 1) allows.
    """
    if rng.random() < 0.5:
        canvas = _weighted(canvas, float(rng.uniform(-1, 1)) * strength)
    stretch = math.exp(float(rng.uniform(-1, 1)) * WIDEST * strength)
    lean = float(rng.uniform(-1, 1)) * SLANT * strength if rng.random() < 0.5 else 0.0
    bend = float(rng.uniform(0, 1)) * BEND * strength
    rows, columns = canvas.shape
    width = max(1, round(columns * stretch))
    mesh = _mesh(rng, (rows, width), columns / width, lean, bend)
    drawn = Image.fromarray(canvas).transform(
        (width, rows), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR
    )
    return np.array(drawn, dtype=np.uint8), [pen * width / columns for pen in pens]


def _weighted(canvas: NDArray[np.uint8], weight: float) -> NDArray[np.uint8]:
    """Strokes up to a pixel thicker on each side (weight 1), or half a pixel thinner (-1)."""
    grown = canvas.copy()
    spread = np.maximum if weight > 0 else np.minimum
    for here, there in (
        (np.s_[1:], np.s_[:-1]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[:, :-1], np.s_[:, 1:]),
    ):
        spread(grown[here], canvas[there], out=grown[here])
    # Thin faces have strokes of two pixels: less than half may go.
    share = np.float32(weight if weight > 0 else -0.45 * weight)
    mixed = canvas + share * (grown.astype(np.float32) - canvas)
    return np.rint(mixed).astype(np.uint8)


def _mesh(
    rng: np.random.Generator, shape: tuple[int, int], scale: float, lean: float, bend: float
) -> list[tuple[tuple[int, int, int, int], tuple[float, ...]]]:
    """For each cell of the drawn canvas, the quadrilateral of the given one that it shows.

    ``scale`` is given pixels a drawn pixel, across.
    """
    rows, columns = shape
    xs = _edges(0, columns, CELL[0])
    # Half of the room above and below the letters stays empty, and undrawn.
    ys = _edges(ROOM // 2, rows - ROOM // 2, CELL[1])
    moved = rng.uniform(-bend, bend, (2, len(ys), len(xs)))
    across = np.array(xs)[None] * scale + lean * (np.array(ys)[:, None] - rows / 2) + moved[0]
    down = np.array(ys)[:, None] + moved[1]
    mesh = []
    for row in range(len(ys) - 1):
        for column in range(len(xs) - 1):
            box = (xs[column], ys[row], xs[column + 1], ys[row + 1])
            # Counter-clockwise from the top left, as PIL wants them.
            corners = ((row, column), (row + 1, column), (row + 1, column + 1), (row, column + 1))
            quad = tuple(float(axis[corner]) for corner in corners for axis in (across, down))
            mesh.append((box, quad))
    return mesh


def _edges(first: int, last: int, cell: int) -> list[int]:
    cells = max(1, round((last - first) / cell))
    return [first + round((last - first) * index / cells) for index in range(cells + 1)]
