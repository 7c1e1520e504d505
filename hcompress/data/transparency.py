"""What lies behind a picture's transparent parts: the colour on which its ink shows.

White, as on paper, unless that hides ink: white letters that were cut out for a dark page are laid
on black, and letters of both kinds on grey. A picture that is as transparent everywhere has no such
parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

_GROUNDS: Final = (255, 0, 128)
_EDGE: Final = 40
"""Levels by which two neighbours must differ for people to see an edge."""
_LINES: Final = 256
"""Rows, and columns, that are looked at: as many as any line of text needs."""
_STEP: Final = 2
"""Pixels between those compared: edges are smoothed over two."""
_OPAQUE: Final = 0.5
"""From this share on, the picture is a page with holes, and text is in it, not cut out."""


def laid(image: Image.Image) -> Image.Image:
    """RGB, from RGBA: the picture on the ground that shows the most of it."""
    from PIL import Image

    if _is_even(image, "A") and not _is_even(image, "RGB"):
        return image.convert("RGB")
    ground = _ground(np.asarray(image))
    return Image.alpha_composite(Image.new("RGBA", image.size, (ground,) * 3), image).convert("RGB")


def unsaid_alpha(tile: Any, rgb: Image.Image, data: bytes) -> Image.Image | None:
    """RGBA, if all that stands on an image is in bytes that are said to mean nothing; else None.

    Some write a BMP's transparency in the fourth bytes of its pixels. ``tile``: where Pillow found
    the pixels in ``data``. ``rgb``: what it made of them.
    """
    from PIL import Image

    codec, _, offset, said = tile
    if codec != "raw" or said[0] != "BGRX":
        return None
    if not _is_even(rgb, "RGB"):
        return None
    whole = Image.frombytes("RGBA", rgb.size, data[offset:], "raw", "BGRA", *said[1:])
    return None if _is_even(whole, "A") else whole


def _is_even(image: Image.Image, bands: str) -> bool:
    """Whether each of the channels is the same in all pixels."""
    ends = [image.getchannel(band).getextrema() for band in bands]
    return all(lowest == highest for lowest, highest in ends)


def _ground(pixels: NDArray[np.uint8]) -> int:
    """A grey level for what is behind RGBA pixels, h x w x 4."""
    rows = pixels[:: max(1, len(pixels) // _LINES)]
    columns = pixels[:, :: max(1, pixels.shape[1] // _LINES)].swapaxes(0, 1)
    seen = [sum(_edges(lines, ground) for lines in (rows, columns)) for ground in _GROUNDS]
    opaque = float((rows[..., 3] >= 128).mean()) >= _OPAQUE
    enough = (0.25 if opaque else 0.95) * max(seen)
    return next(ground for ground, count in zip(_GROUNDS, seen, strict=True) if count >= enough)


def _edges(lines: NDArray[np.uint8], ground: int) -> int:
    """Places on lines of RGBA pixels, n x l x 4, where the light on ``ground`` changes."""
    total = 0
    for line in lines:
        weight = line[:, 3].astype(np.int32)
        light = line[:, :3].astype(np.int32) @ np.array([77, 150, 29]) // 256
        light = (light * weight + ground * (255 - weight)) // 255
        total += int((np.abs(light[_STEP:] - light[:-_STEP]) >= _EDGE).sum())
    return total
