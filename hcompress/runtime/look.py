"""What is seen of an image before it is read, and what that says of its reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hcompress.runtime.reading import remarked

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.data.given import Given
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
    remarks: tuple[str, ...] = ()
    """What is odd about the file that it came in: something of it may not have been read."""


def look(image: Given) -> Look:
    """Raises what `hcompress.data.given.pixels_of` raises of what is no image of any size."""
    from hcompress.data.given import pixels_of
    from hcompress.data.ink import find_ink, trimmed

    remarks: list[str] = []
    pixels = pixels_of(image, remarks.append)
    ink = find_ink(pixels)
    return Look(trimmed(pixels, ink), ink, tuple(remarks))


def judged(reading: Reading, seen: Look) -> Reading:
    """The reading of what was seen: unsure if it says nothing of ink, with a remark on a column."""
    if seen.ink is not None:
        if not reading.text.strip():
            reading = replace(reading, confidence=min(reading.confidence, EMPTY_MOST))
        height, width = seen.picture.shape[:2]
        single = seen.ink.parts == 1 and len(reading.text) == 1  # a 1 or an l is no column
        if height >= TALL * width and not single:
            reading = remarked(reading, TURN)
    return with_remarks(reading, seen.remarks)


def with_remarks(reading: Reading, remarks: Sequence[str]) -> Reading:
    """And unsure of an empty text: what the remarks are of was not read."""
    if remarks and not reading.text.strip():
        reading = replace(reading, confidence=min(reading.confidence, EMPTY_MOST))
    return remarked(reading, *remarks)
