"""From images of lines to what a foreign recogniser takes: its preprocessing, as data.

H is the input's height; widths are in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from hcompress.data.preprocess import check_picture
from hcompress.errors import InputRefused, UsageError
from hcompress.spec.foreign import Channels, ImageInput, Resize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]

WIDEST: Final = 8192
"""Wider images are squeezed, whatever the model: an image of one row must not fill the memory."""
MOST_PIXELS_AT_ONCE: Final = 1 << 19
"""Of the images of one run, as they go in."""
_FRACTION: Final = 11
"""Bits of OpenCV's weights between two pixels."""
_PPOCR: Final = ImageInput(
    Channels.BGR, 48, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), minimum_width=320, padding=0.0
)
PREPROCESSINGS: Final[Mapping[str, ImageInput]] = {
    "ppocr": _PPOCR,
    "ppocr-rgb": replace(_PPOCR, channels=Channels.RGB),
    "ddddocr": ImageInput(
        Channels.GREY, 64, (0.0,), (1.0,), minimum_width=16, padding=1.0, resize=Resize.LANCZOS
    ),
    "khmer-ocr-ocm": ImageInput(
        Channels.GREY, 48, (0.5,), (0.5,), minimum_width=512, maximum_width=512,
        resize=Resize.BILINEAR, stretched=True,
    ),
    "easyocr": ImageInput(
        Channels.GREY, 64, (0.5,), (0.5,), minimum_width=64, multiple=64, repeats_edge=True
    ),
    "doctr": ImageInput(
        Channels.RGB, 32, (0.694, 0.695, 0.693), (0.299, 0.296, 0.301), minimum_width=128,
        padding=-2.32, resize=Resize.BILINEAR,
    ),
}  # fmt: skip
"""By the name that `--preprocessing` gives. The height is the graph's own, if it says one."""
_BY_CHANNELS: Final = {3: "ppocr", 1: "ddddocr"}


def choose(name: str | None, channels: int, height: int, where: str) -> tuple[str, ImageInput]:
    """The preprocessing called ``name``; None: the one for that many channels.

    Raises UsageError if there is none of that name, InputRefused if none is for so many channels
    or it has another number of them.
    """
    known = ", ".join(PREPROCESSINGS)
    chosen = name or _BY_CHANNELS.get(channels)
    if chosen is None:
        raise InputRefused(
            f"{where}: images of {channels} channels: name one of --preprocessing {known}"
        )
    if chosen not in PREPROCESSINGS:
        raise UsageError(f"--preprocessing {chosen}: one of {known}")
    image = PREPROCESSINGS[chosen]
    if len(image.mean) != channels:
        raise InputRefused(
            f"--preprocessing {chosen}: makes {len(image.mean)} channels, {where} takes {channels}"
        )
    return chosen, replace(image, height=height)


@dataclass(frozen=True)
class Size:
    """How wide an image becomes, and how wide it is with what stands to its right."""

    width: int
    padded: int


def size_of(shape: Sequence[int], image: ImageInput) -> Size:
    """For an image of ``shape`` (height, width, …), as if it were alone in its batch.

    The aspect is kept; as PP-OCR has it, an image that is wider than the least width gives up
    the fraction of a pixel, and a narrower one is rounded up.
    """
    height, width = shape[0], shape[1]
    if image.stretched:
        return Size(image.minimum_width, image.minimum_width)
    ratio = width / height
    widest = min(image.maximum_width or WIDEST, WIDEST)
    padded = max(image.minimum_width, int(image.height * ratio), 1)
    padded = min(-(-padded // image.multiple) * image.multiple, widest)
    return Size(max(1, min(math.ceil(image.height * ratio), padded)), padded)


def prepared(picture: NDArray[np.uint8], image: ImageInput) -> NDArray[np.float32]:
    """An RGB image, height x width x 3 of any size, as [C, H, padded width].

    Raises ValueError if it is no such image.
    """
    check_picture(picture)
    size = size_of(picture.shape, image)
    resized = _resized(picture, image.height, size.width, image)
    mean, std = (np.array(one, np.float32)[:, None, None] for one in (image.mean, image.std))
    made = (resized.transpose(2, 0, 1).astype(np.float32) / 255 - mean) / std
    return widened(made.astype(np.float32), size.padded, image)


def widened(line: NDArray[np.float32], width: int, image: ImageInput) -> NDArray[np.float32]:
    """A line [..., H, w] with what stands to its right, [..., H, width]; w is no more than that."""
    extra = [(0, 0)] * (line.ndim - 1) + [(0, width - line.shape[-1])]
    if image.repeats_edge:
        return np.pad(line, extra, mode="edge")
    return np.pad(line, extra, constant_values=image.padding)


def _resized(
    picture: NDArray[np.uint8], height: int, width: int, image: ImageInput
) -> NDArray[np.uint8]:
    """uint8 [height, width, C], channels in the model's order."""
    if image.resize is Resize.OPENCV_LINEAR:
        made = opencv_linear(picture, height, width)
    elif image.resize is Resize.BILINEAR:
        return _bilinear(picture, height, width, image)
    else:
        from PIL import Image

        there = Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS)
        made = np.asarray(there, np.uint8)
    if image.channels is Channels.BGR:
        return made[:, :, ::-1]
    if image.channels is Channels.GREY:
        return _grey(made)
    return made


def _bilinear(
    picture: NDArray[np.uint8], height: int, width: int, image: ImageInput
) -> NDArray[np.uint8]:
    """[height, width, C], channels in the model's order; grey before it is resized."""
    from PIL import Image

    mode = "L" if image.channels is Channels.GREY else "RGB"
    there = Image.fromarray(picture).convert(mode)
    made = np.asarray(there.resize((width, height), Image.Resampling.BILINEAR), np.uint8)
    made = made.reshape(height, width, -1)
    return made[:, :, ::-1] if image.channels is Channels.BGR else made


def _grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[height, width, 1], as Pillow's "L"."""
    from PIL import Image

    return np.asarray(Image.fromarray(picture).convert("L"), np.uint8)[:, :, None]


def opencv_linear(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """[height, width, C]: what OpenCV's resize makes of [h, w, C], a grey level off at most.

    Each pixel is a mean of two by two, whatever the scale; weights are whole numbers of 11 bits.
    """
    if picture.shape[:2] == (height, width):
        return picture
    left, right, before, after = _neighbours(picture.shape[1], width)
    top, bottom, above, below = _neighbours(picture.shape[0], height)

    def along(rows: NDArray[np.intp]) -> NDArray[np.int32]:
        """[height, width, C]: of a large picture as whole numbers there are but these rows."""
        pixels = picture[rows].astype(np.int32)
        return (pixels[:, left] * before[:, None] + pixels[:, right] * after[:, None]) >> 4

    upper = (along(top) * above[:, None, None]) >> 16
    lower = (along(bottom) * below[:, None, None]) >> 16
    made: NDArray[np.uint8] = np.clip((upper + lower + 2) >> 2, 0, 255).astype(np.uint8)
    return made


def _neighbours(
    old: int, new: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.int32], NDArray[np.int32]]:
    """For each of ``new`` places: two of the ``old`` ones, and the weight of each."""
    place = (np.arange(new) + 0.5) * (old / new) - 0.5
    first = np.floor(place).astype(np.intp)
    share = (place - first).astype(np.float32)
    share[(first < 0) | (first >= old - 1)] = 0
    first = np.clip(first, 0, old - 1)
    second = np.minimum(first + 1, old - 1)
    scale = np.float32(1 << _FRACTION)
    return (
        first, second,
        np.rint((1 - share) * scale).astype(np.int32), np.rint(share * scale).astype(np.int32),
    )  # fmt: skip


def batches(
    pictures: Images, image: ImageInput, most: int
) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    """Places and inputs [N, C, H, W] of images that have one padded width, narrowest first.

    No image is padded beyond what it would be alone, so no text hangs on who is beside it. Of wide
    ones fewer come together: what a graph makes of them has to find room.
    """
    widths: dict[int, list[int]] = {}
    for place, picture in enumerate(pictures):
        widths.setdefault(size_of(picture.shape, image).padded, []).append(place)
    for width in sorted(widths):
        places = widths[width]
        room = MOST_PIXELS_AT_ONCE // max(1, width * image.height)
        count = 1 if image.single else max(1, min(most, room))
        for start in range(0, len(places), count):
            part = places[start : start + count]
            yield part, np.stack([prepared(pictures[place], image) for place in part])
