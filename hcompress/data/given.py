"""Images as callers have them, as RGB pixels: arrays, Pillow's images, files' bytes, paths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hcompress.data.images import Remark, decode_image, read_piped_image, rgb_of, unsaid
from hcompress.data.preprocess import check_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    Given: TypeAlias = NDArray[np.uint8] | NDArray[np.floating] | Image.Image | bytes | str | Path
    """One image: an array h x w x 3, uint8 or floats from 0 to 1; an image of Pillow's; a file's
    bytes; a path, with `-` for standard input."""
    Images: TypeAlias = Sequence[Given] | NDArray[np.uint8] | NDArray[np.floating]
    """Several of any kind, or arrays of one size as [N, H, W, 3]."""


def pixels_of(image: Given, remark: Remark = unsaid) -> NDArray[np.uint8]:
    """uint8, h x w x 3.

    ``remark`` is told what is odd about a file. Raises ValueError for an array that is none of
    those named above, what `read_piped_image` raises for a file.
    """
    if isinstance(image, np.ndarray):
        array: NDArray[Any] = image
        made = _from_floats(array) if array.dtype.kind == "f" else array
        check_picture(made)
        return made
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_image(bytes(image), "an image given as bytes", remark)
    if isinstance(image, str | os.PathLike):
        return read_piped_image(Path(image), remark)
    if hasattr(image, "getbands"):  # Pillow is not imported for those who give arrays
        return rgb_of(image)
    raise ValueError(f"an image must be an array, Pillow's, bytes or a path, not {type(image)}")


def _from_floats(image: NDArray[Any]) -> NDArray[np.uint8]:
    """0 is black and 1 is white: nothing else that floats stand for can be told from them."""
    low, high = (float(image.min()), float(image.max())) if image.size else (0.0, 0.0)
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"an image of floats must be from 0 (black) to 1 (white), not from {low:g} to {high:g}:"
            " scale it, or give uint8"
        )
    made: NDArray[np.uint8] = np.rint(image * 255).astype(np.uint8)
    return made


def check_several(images: object) -> None:
    """Raises ValueError if it is one image where several are asked for."""
    one = isinstance(images, str | bytes | bytearray | memoryview | os.PathLike)
    if one or hasattr(images, "getbands") or getattr(images, "ndim", 4) != 4:
        raise ValueError("images are wanted, and this is one: give a list of it")
