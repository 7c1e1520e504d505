"""Image files of any origin as RGB pixels. Numpy and Pillow alone: serving uses it too."""

from __future__ import annotations

import contextlib
import io
import stat
import struct
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hcompress.data.deep_grey import (
    check_deep_colour,
    from_deep_grey,
    is_deep_colour,
    is_deep_grey,
)
from hcompress.data.netpbm import is_scaled, scaled
from hcompress.data.transparency import laid, unsaid_alpha
from hcompress.errors import InputRefused, UsageError
from hcompress.stand_in import stand_in
from hcompress.strict.files import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


MAX_PIXELS = 40_000_000
"""A 20 KB file can unpack to gigabytes; this many pixels take 400 to 650 MB on the way to RGB."""
MAX_FILE = 256 * 2**20
STDIN = "-"
"""The path that is standard input."""
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")
"""What we let Pillow try: image formats in wide use, none that runs a program (EPS)."""
MORE = "holds more than one picture, of which the first was read"
_DAMAGE = (
    OSError,  # Pillow's UnidentifiedImageError and most truncation
    SyntaxError,  # broken PNG chunks
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What Pillow's parsers raise on damaged files; everything is theirs, nothing of ours runs."""


Remark = Callable[[str], None]


def unsaid(_: str) -> None:
    """A remark that nobody asked for."""


def read_image(path: Path, remark: Remark = unsaid) -> NDArray[np.uint8]:
    """height x width x 3 (RGB), turned as EXIF says, transparency laid where its ink shows.

    ``remark`` is told what else whoever gave the file should know of it. Raises UsageError where
    there is no such file, InputRefused where it is not an image.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such image file")
    if path.stat().st_size > MAX_FILE:
        raise InputRefused(f"{path}: larger than {MAX_FILE // 2**20} MiB; give a smaller image")
    return decode_image(path.read_bytes(), str(path), remark)


def read_piped_image(path: Path, remark: Remark = unsaid) -> NDArray[np.uint8]:
    """As `read_image`; ``-`` is standard input, and a pipe is read to its end.

    For paths that a user names: a pipe that nobody writes to is waited for. Raises InputRefused for
    folders and devices, and for what is larger than a file may be.
    """
    if str(path) != STDIN and (path.is_file() or not path.exists()):
        return read_image(path, remark)
    named = "standard input" if str(path) == STDIN else shown(path)
    with contextlib.ExitStack() as held:
        if str(path) == STDIN:
            stream = sys.stdin.buffer if sys.stdin is not None else io.BytesIO()
        else:
            if not stat.S_ISFIFO(path.stat().st_mode):
                raise InputRefused(f"{named}: neither a file nor a pipe: give an image")
            stream = held.enter_context(path.open("rb"))
        data = stream.read(MAX_FILE + 1)
    if not data:
        raise InputRefused(f"{named}: is empty: no image came")
    if len(data) > MAX_FILE:
        raise InputRefused(f"{named}: larger than {MAX_FILE // 2**20} MiB; give a smaller image")
    return decode_image(data, named, remark)


class TooManyPixels(InputRefused):
    """An image may be fine, and is more than was asked to be taken."""


def decode_image(
    data: bytes, name: str, remark: Remark = unsaid, most: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """height x width x 3 (RGB) from an image file's bytes, of several pictures the first.

    Raises InputRefused naming ``name``; TooManyPixels if it has more than ``most``.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        # Pillow warns of oddities it reads all the same; a reader of a million files can't act.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=FORMATS) as opened,
        ):
            width, height = opened.size
            if width * height <= most:
                pixels = np.array(_to_rgb(opened, data), dtype=np.uint8)
                if remark is not unsaid and _goes_on(opened):
                    remark(MORE)
                return pixels
    except (Image.DecompressionBombError, *_DAMAGE) as error:
        what = str(error).replace("\n", " ") or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            what = stand_in(data) or f"none of {', '.join(FORMATS)}"
        raise InputRefused(f"{name}: not a readable image: {what}") from None
    raise _too_large(name, width, height, most)


def rgb_of(image: Image.Image) -> NDArray[np.uint8]:
    """As `decode_image`, of an image that Pillow has opened or made; it stays as it is.

    Raises InputRefused if it is too large, damaged, or nothing says which of its numbers is white.
    """
    from PIL import Image

    name = "an image of Pillow's"
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(name, image.width, image.height, MAX_PIXELS)
    try:
        if is_deep_grey(image):  # a copy would forget what its file says of white
            image.load()
            return np.array(Image.fromarray(_deep_grey(image)).convert("RGB"), dtype=np.uint8)
        return np.array(_to_rgb(image.copy(), b""), dtype=np.uint8)
    except (Image.DecompressionBombError, *_DAMAGE) as error:
        what = str(error).replace("\n", " ") or type(error).__name__
        raise InputRefused(f"{name}: not a readable image: {what}") from None


def _too_large(name: str, width: int, height: int, most: int) -> TooManyPixels:
    return TooManyPixels(
        f"{name}: {width}x{height} is more than {most / 10**6:g} million pixels;"
        " give a smaller image"
    )


def _goes_on(opened: Image.Image) -> bool:
    """Whether another picture comes after a loaded one: to count them all could take hours."""
    if opened.format == "MPO":  # a photograph: what follows is its depth, or itself in other light
        return False
    try:
        opened.seek(1)
    except _DAMAGE:
        return False
    return True


def _to_rgb(opened: Image.Image, data: bytes) -> Image.Image:
    """Raises ValueError if its numbers can't be scaled for sure."""
    from PIL import Image, ImageOps

    if is_scaled(opened):
        return Image.fromarray(scaled(opened, data)).convert("RGB")
    deep_colour = is_deep_colour(opened)  # Pillow forgets it, and tiles, when it loads
    tiles = list(getattr(opened, "tile", ()))
    ImageOps.exif_transpose(opened, in_place=True)  # a copy of a large image costs 160 MB
    if is_deep_grey(opened):
        return Image.fromarray(_deep_grey(opened)).convert("RGB")
    if deep_colour:
        check_deep_colour(opened)
    if opened.mode == "La":  # Pillow knows no other way from it
        opened = opened.convert("LA")
    if opened.has_transparency_data:
        return laid(opened if opened.mode == "RGBA" else opened.convert("RGBA"))
    made = opened.convert("RGB")
    cut_out = unsaid_alpha(tiles[0], made, data) if opened.format == "BMP" and tiles else None
    return made if cut_out is None else laid(cut_out)


def _deep_grey(opened: Image.Image) -> NDArray[np.uint8]:
    clear = opened.info.get("transparency")
    grey = from_deep_grey(opened)
    if isinstance(clear, int):  # a PNG's one grey that stands for nothing
        grey[np.asarray(opened) == clear] = 255
    return grey
