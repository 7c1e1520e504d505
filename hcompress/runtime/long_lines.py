"""Lines longer than the input is wide: cut where there is least ink, read, and joined.

A line up to `SQUEEZE` times as long is squeezed, as in training. A longer one is cut into pieces
that need no squeezing, each in the middle of the widest gap within reach, so that no character
is in two of them. docs/runtime.md has what either costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from hcompress.data.batches import cut
from hcompress.data.given import check_several
from hcompress.runtime.cuts import Gaps
from hcompress.runtime.look import judged, look
from hcompress.runtime.reading import Candidate, Reading, fit_all, readings, remarked, surely

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.data.given import Images
    from hcompress.spec.preprocessing import Preprocessing
    from hcompress.spec.vocabulary import Vocabulary

    Decode = Callable[[NDArray[np.uint8]], tuple[NDArray[np.int64], NDArray[np.float32]]]
    """uint8 [N, H, W, 3] -> ids and probabilities [N, T, k]."""


BATCH = 32
"""Images read at once: more gain little and cost memory."""
PIXELS = 1 << 19
"""And how many pixels of fitted images: one of the largest input a model can have."""
SQUEEZE = 1.25
"""Times the input's width that a line, scaled to its height, may have and be read whole."""
SHORTEST = 0.5
"""Of the input's width: a cut is looked for from here on."""
MOST_PIECES = 64
"""A longer line's pieces are squeezed further: none may cost without end."""


def read_lines(
    images: Images,
    size: Preprocessing,
    decode: Decode,
    vocabulary: Vocabulary,
    mask: NDArray[np.bool_] | None = None,
    least: float = 0.0,
) -> Iterator[Reading]:
    """A reading for each image, of any size and in any form of `hcompress.data.given`, in order.

    ``mask`` [V]: the ids that may be answered. ``least``: less sure readings have no text. Raises
    ValueError for an array that is no image, InputRefused and UsageError for files that are none.
    """
    check_several(images)
    for start in range(0, len(images), BATCH):
        seen = [look(image) for image in images[start : start + BATCH]]
        lines = [pieces(one.picture, size) for one in seen]
        flat = [piece for line in lines for piece in line]
        found = _read(flat, size, decode, vocabulary, mask)
        place = 0
        for one, line in zip(seen, lines, strict=True):
            yield surely(judged(joined(found[place : place + len(line)]), one), least)
            place += len(line)


def _read(
    images: list[NDArray[np.uint8]],
    size: Preprocessing,
    decode: Decode,
    vocabulary: Vocabulary,
    mask: NDArray[np.bool_] | None,
) -> list[Reading]:
    """A reading for each image. Only those of one width run together: what is padded is the same
    whoever is beside it."""
    widths: dict[int, list[int]] = {}
    for place, image in enumerate(images):
        widths.setdefault(size.width_of(*image.shape[:2]), []).append(place)
    found: dict[int, Reading] = {}
    for width, places in widths.items():
        most = max(1, min(BATCH, PIXELS // (size.height * width)))
        for part in cut(places, most):
            fitted = fit_all([images[place] for place in part], size, width)
            found |= zip(part, readings(*decode(fitted), vocabulary, mask), strict=True)
    return [found[place] for place in range(len(images))]


def pieces(image: NDArray[np.uint8], size: Preprocessing) -> list[NDArray[np.uint8]]:
    """The image itself, or, of a long line, its pieces from left to right."""
    if image.ndim != 3 or 0 in image.shape:
        return [image]  # `fit` says what is wrong with it
    height, width = image.shape[:2]
    whole = size.width * height / size.height
    if width <= max(1, SQUEEZE * whole):
        return [image]
    longest = max(1, int(whole), math.ceil(width / (SHORTEST * MOST_PIECES)))
    gaps = Gaps(image)
    cuts = [0]
    while width - cuts[-1] > longest:
        cuts.append(gaps.cut(cuts[-1] + max(1, int(SHORTEST * longest)), cuts[-1] + longest))
    return [image[:, a:b] for a, b in zip(cuts, [*cuts[1:], width], strict=True)]


def joined(parts: Sequence[Reading]) -> Reading:
    """One line's reading from its pieces': sure of it where sure of every piece."""
    if len(parts) == 1:
        return parts[0]
    candidates: list[list[Candidate]] = [step for part in parts for step in part.candidates]
    confidence = math.prod(part.confidence for part in parts)
    text = "".join(part.text for part in parts)
    whole = Reading(text, confidence, candidates, len(parts))
    return remarked(whole, *(part.remark for part in parts))
