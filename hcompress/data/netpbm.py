"""PGM and PPM of a maximum that is no byte's: Pillow's decoder is slow, and takes any number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hcompress.data.deep_grey import as_bytes, check_lightest

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


def is_scaled(opened: Image.Image) -> bool:
    """Whether an image, not yet loaded, is a binary PGM or PPM with a maximum of its own."""
    tiles: Any = getattr(opened, "tile", ())
    return opened.format == "PPM" and bool(tiles) and tiles[0][0] == "ppm"


def scaled(opened: Image.Image, data: bytes) -> NDArray[np.uint8]:
    """[h, w] or [h, w, 3]: the pixels of the file's bytes, its maximum white.

    Some write the bytes of 16 bits the wrong way round: if numbers pass the maximum, and none
    does the other way, that way is taken. Raises ValueError if either has such numbers, and if the
    lightest is far from white.
    """
    tiles: Any = opened
    _, _, offset, (_, maximum) = tiles.tile[0]
    kind = np.dtype(">u2" if maximum > 255 else "u1")
    shape = (opened.height, opened.width, *((3,) if opened.mode == "RGB" else ()))
    count = int(np.prod(shape))
    if len(data) < offset + count * kind.itemsize:
        raise ValueError("image file is truncated")
    values = np.frombuffer(data, kind, count, offset).reshape(shape)
    if values.max() > maximum and kind.itemsize > 1:
        values = values.view("<u2")
    if values.max() > maximum:
        raise ValueError(f"a number above {maximum}, which it says is its largest")
    if kind.itemsize > 1:
        check_lightest(values.min(), values.max(), maximum)
    return as_bytes(values, maximum)
