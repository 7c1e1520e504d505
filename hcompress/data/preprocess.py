"""Fits an image of any size to the recogniser's input. Shared by training and serving.

Numpy and Pillow alone: what reads an ONNX file must not need torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """height x width x 3 from an RGB image of any size.

    The image is resized to ``height`` with its aspect kept, squeezed where that would be wider
    than ``width``, and padded on the right with the median colour of its right edge: a constant
    such as black would be an edge that no training image has. An image that fits already is
    returned as it is.
    """
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"an image must be height x width x 3, not {image.shape}")
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
