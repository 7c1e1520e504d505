"""Greys of more than 8 bits, as 8: Pillow's own conversion clips them at 255, a blank page.

What is white has to be said by the file, or be sure from the kind of number; anything else is
refused, since a wrong guess reads as an empty line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

DARKEST: Final = 16
"""A picture with nothing lighter than white / 16 holds fewer bits than its file says."""
_ROWS: Final = 256
"""Rows at a time: the numbers of a large image, once more as floats, would be 320 MB."""
_WHITE_IS_ZERO: Final = 0
_BITS, _PHOTOMETRIC, _MOST, _FORMAT, _SIGNED_MOST = 258, 262, 281, 339, 341
"""TIFF's tags."""
_UNSIGNED: Final = 1
_SAVE: Final = "save it with 8 bits a channel"


def is_deep_grey(opened: Image.Image) -> bool:
    """Whether the image has one channel of more than 8 bits."""
    return opened.mode in ("I", "F") or opened.mode.startswith("I;16")


def is_deep_colour(opened: Image.Image) -> bool:
    """Whether an image, not yet loaded, has channels of 16 bits, of which Pillow keeps 8."""
    for tile in getattr(opened, "tile", ()):
        said = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        if any(isinstance(part, str) and ";16" in part for part in said):
            return True
        if tile[0].startswith("ppm") and said[-1] > 255:
            return True
    return False


def check_deep_colour(image: Image.Image) -> None:
    """Raises ValueError if the 8 bits that Pillow kept of 16 may be empty ones."""
    alpha = image.getbands()[-1].lower() == "a"
    values = image.getextrema()
    bands = values if isinstance(values[0], tuple) else (values,)
    highest = max(int(high) for _, high in bands[: len(bands) - alpha])
    shown = alpha and bands[-1][0] < bands[-1][1]  # black letters that were cut out are black
    if highest < DARKEST and not (shown and highest == 0):
        raise ValueError(_too_dark(highest, 255))


def from_deep_grey(image: Image.Image) -> NDArray[np.uint8]:
    """[h, w]: the loaded image's greys, black 0 and white 255.

    Raises ValueError if nothing says which number is white, or the file's answer can't be right.
    """
    values = _numbers(image)
    lowest, highest = values.min(), values.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise ValueError(f"not all of its numbers are finite: {_SAVE}")
    white = _white(image, float(highest))
    if white is None or lowest < 0 or highest > white:
        raise ValueError(
            f"its numbers go from {lowest:g} to {highest:g}, and nothing says which one is white:"
            f" {_SAVE}"
        )
    check_lightest(lowest, highest, white)
    grey = as_bytes(values, white)
    return 255 - grey if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO else grey


def check_lightest(lowest: Any, highest: Any, white: float) -> None:
    """Raises ValueError if numbers, not all the same, are far from their white."""
    if lowest < highest < white / DARKEST:
        raise ValueError(_too_dark(highest, white))


def as_bytes(values: NDArray[Any], white: float) -> NDArray[np.uint8]:
    """Numbers of any shape, 0 to ``white``, as 0 to 255."""
    made = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _ROWS):
        part = values[start : start + _ROWS].astype(np.float64)
        made[start : start + _ROWS] = part * (255 / white) + 0.5
    return made


def _too_dark(highest: Any, white: Any) -> str:
    return (
        f"its lightest number is {highest:g} where white is {white:g}: does it hold fewer bits than"
        f" it says? {_SAVE}"
    )


def _numbers(image: Image.Image) -> NDArray[Any]:
    values: NDArray[Any] = np.asarray(image)
    unsigned = image.format != "TIFF" or _tag(image, _FORMAT) in (None, _UNSIGNED)
    if image.mode == "I" and unsigned:
        return values.view(np.uint32)  # Pillow holds numbers above 2^31 as negative ones
    return values


def _white(image: Image.Image, highest: float) -> float | None:
    """The number that is white, if that is sure."""
    if image.format == "TIFF":
        return _white_of_tiff(image, highest)
    if image.mode == "F":
        return 1.0
    return 65535.0  # Pillow brings a PGM of any depth to 16 bits, and a PNG has 16


def _white_of_tiff(image: Image.Image, highest: float) -> float | None:
    for tag in (_SIGNED_MOST, _MOST):
        said = _tag(image, tag)
        if isinstance(said, int | float) and 0 < highest <= said:
            return float(said)
    if image.mode == "F":
        return 1.0
    bits = _tag(image, _BITS)
    if not isinstance(bits, int) or _tag(image, _FORMAT) not in (None, _UNSIGNED):
        return None
    return float(2**bits - 1)


def _tag(image: Image.Image, number: int) -> Any:
    """A TIFF tag's first value; None if there is none."""
    tags: Any = getattr(image, "tag_v2", {})
    value = tags.get(number)
    return value[0] if isinstance(value, tuple) and value else value
