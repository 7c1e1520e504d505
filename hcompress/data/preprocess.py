"""Fits an image of any size to the recogniser's input. Shared by training and serving.

Numpy and Pillow alone: what reads an ONNX file must not need torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check_picture(image: NDArray[np.uint8]) -> None:
    """Raises ValueError unless it is height x width x 3 of uint8, and not empty.

    Floats would be cut to 0 and 1, a blank page; nothing says of other numbers which is white.
    """
    shape, kind = getattr(image, "shape", None), getattr(image, "dtype", type(image).__name__)
    if kind != np.uint8 or shape is None or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise ValueError(f"an image must be uint8, height x width x 3 (RGB), not {kind} {shape}")


def fit(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """height x width x 3 from an RGB image of any size.

    The image is resized to ``height`` with its aspect kept, squeezed where that would be wider
    than ``width``, and padded on the right with the median colour of its right edge: a constant
    such as black would be an edge that no training image has. An image that fits already is
    returned as it is. Raises ValueError for anything that is no such image.
    """
    check_picture(image)
    if image.shape[:2] == (height, width):
        return image
    fitted = min(width, max(1, round(image.shape[1] * height / image.shape[0])))
    if image.shape[:2] != (height, fitted):
        from PIL import Image

        resized = Image.fromarray(image).resize((fitted, height), Image.Resampling.BILINEAR)
        image = np.asarray(resized, dtype=np.uint8)
    return pad_right(image, width)


def pad_right(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """height x ``width`` x 3: the image, then the median colour of its last column."""
    missing = width - image.shape[1]
    if missing <= 0:
        return image
    padded = np.empty((image.shape[0], width, 3), np.uint8)
    padded[:, : image.shape[1]] = image
    # The lower of the two middle values, so that no rounding rule comes into it.
    edge = np.sort(image[:, -1], axis=0)[(image.shape[0] - 1) // 2]
    padded[:, image.shape[1] :] = edge
    return padded
