"""Whether something stands on an image of a line, and where: by the steps of its light.

A blank page has shadows, grain and the traces of JPEG, but no steps that stand out from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HIGHEST: Final = 512
WIDEST: Final = 8192
"""A larger image is looked at in so many rows and columns."""
STEP: Final = 2
"""Pixels between those compared: the edges of letters are smoothed over two."""
FAINT: Final = 12 / 255
"""A step of less than this share of the lightest pixel is none, however calm the rest."""
GRAIN: Final = 6
"""Times the median difference that a step has in a rough image: noise alone has few."""
SURE: Final = 40
"""Levels that are a step in any image, however rough."""
FEWEST: Final = 4
SHARE: Final = 2e-4
"""Steps, and of all pixels, below which they are specks."""
MARGIN: Final = 0.25
"""Of the ink's height: what is left of a margin that is trimmed."""
LOW: Final = 0.6
"""Of the image's height: ink that is lower stands between margins that no line of training had."""
LEAST: Final = 16
"""Rows that are left: a full stop must not become a disc."""
BARS: Final = 0.4
"""A line with fewer upright edges in a column is dashes, whose height says nothing."""


class Ink(NamedTuple):
    """The rows and columns that ink stands in, the ends not included."""

    top: int
    bottom: int
    left: int
    right: int
    parts: int
    """Stretches of rows with ink, with blank rows between them."""
    upright: float
    """Rows of upright edges in a column, on average: few if there is nothing but bars."""


def find_ink(image: NDArray[np.uint8]) -> Ink | None:
    """Where the light of an image, h x w x 3, has its steps; None if it is blank."""
    pixels, scale = _looked_at(image)
    across = _differences(pixels[:, STEP:], pixels[:, :-STEP])
    down = _differences(pixels[STEP:], pixels[:-STEP])
    least = _least_step(pixels, across, down)
    if least is None:
        return None
    beside, below = across >= least, down >= least
    if beside.sum() + below.sum() < max(FEWEST, SHARE * pixels.shape[0] * pixels.shape[1]):
        return None
    rows = _between(_any(beside, 1), _any(below, 1))
    columns = _between(_any(below, 0), _any(beside, 0))
    top, bottom, left, right = rows[0][0], rows[-1][1], columns[0][0], columns[-1][1]
    upright = float(beside.sum()) / (STEP * (right - left))
    height, width = image.shape[:2]
    return Ink(
        scale * top, min(scale * bottom, height), scale * left, min(scale * right, width),
        len(rows), upright,
    )  # fmt: skip


def trimmed(image: NDArray[np.uint8], ink: Ink | None) -> NDArray[np.uint8]:
    """The image without its margins if they are wide: a view, or the image itself."""
    height, width = image.shape[:2]
    if ink is None or ink.bottom - ink.top >= LOW * height or ink.upright < BARS:
        return image
    high = ink.bottom - ink.top
    margin = max(round(MARGIN * high), (LEAST - high) // 2, 1)
    top, left = max(0, ink.top - margin), max(0, ink.left - margin)
    return image[top : min(height, ink.bottom + margin), left : min(width, ink.right + margin)]


def _looked_at(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """The image, or a smaller mean of it, and by how much it is smaller."""
    scale = max(1, -(-image.shape[0] // HIGHEST), -(-image.shape[1] // WIDEST))
    if scale == 1:
        return image, 1
    from PIL import Image

    return np.asarray(Image.fromarray(image).reduce(scale)), scale


def _differences(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[h, w]: by how much the channel that differs most does."""
    apart = np.maximum(one, other) - np.minimum(one, other)
    most: NDArray[np.uint8] = apart.max(2)
    return most


def _least_step(
    pixels: NDArray[np.uint8], across: NDArray[np.uint8], down: NDArray[np.uint8]
) -> float | None:
    """The least difference that is a step; None where nothing differs."""
    apart = np.concatenate([across.ravel(), down.ravel()])
    if not apart.any():
        return None
    faint = max(1.0, FAINT * float(pixels.max()))
    return max(faint, min(GRAIN * float(np.median(apart)), SURE))


def _any(steps: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Whether there is a step in each row, or column."""
    there: NDArray[np.bool_] = np.logical_or.reduce(steps, axis)
    return there


def _between(inside: NDArray[np.bool_], before: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Stretches of places with steps: ``inside`` them, or from one ``before`` to the next."""
    marks = inside.copy()
    for shift in range(STEP + 1):
        marks[shift : shift + len(before)] |= before
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marks.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
