"""What is seen of an image before it is read, and what that says of its reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.data.ink import Ink
    from hcompress.runtime.reading import Reading

EMPTY_MOST: Final = 0.1
"""How sure an empty text is at most if something stands on the image."""
TALL: Final = 1.5
"""Times its width that a line is high when it is remarked on."""
TURN = "taller than wide, and read as it stands: if its text runs down the image, turn it"


@dataclass(frozen=True)
class Look:
    """An image without its wide margins, and the ink on it."""

    picture: NDArray[np.uint8]
    """h x w x 3."""
    ink: Ink | None


def look(image: NDArray[np.uint8]) -> Look:
    """Raises ValueError unless it is uint8, h x w x 3 of any size."""
    from hcompress.data.ink import find_ink, trimmed
    from hcompress.data.preprocess import check_picture

    check_picture(image)
    ink = find_ink(image)
    return Look(trimmed(image, ink), ink)


def judged(reading: Reading, seen: Look) -> Reading:
    """The reading of what was seen: unsure if it says nothing of ink, with a remark on a column."""
    if seen.ink is None:
        return reading
    if not reading.text.strip():
        reading = replace(reading, confidence=min(reading.confidence, EMPTY_MOST))
    height, width = seen.picture.shape[:2]
    single = seen.ink.parts == 1 and len(reading.text) == 1  # a 1 or an l is no column
    return reading if height < TALL * width or single else replace(reading, remark=TURN)


def remarked(reading: Reading, remarks: Sequence[str]) -> Reading:
    """With what is to be said of its file, and unsure of an empty text: what the remarks are of
    was not read."""
    if not remarks:
        return reading
    if not reading.text.strip():
        reading = replace(reading, confidence=min(reading.confidence, EMPTY_MOST))
    return replace(reading, remark="; ".join(filter(None, (reading.remark, *remarks))))
