"""From a decoder's numbers to a text and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from hcompress.runtime.likelihood import text_chance
from hcompress.spec.transcription import Scheme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.spec.preprocessing import Preprocessing
    from hcompress.spec.vocabulary import Vocabulary


class Candidate(TypedDict):
    """One of the best answers of one step."""

    character: str
    """A character, or ``<EOS>``: the line ends here."""
    confidence: float


@dataclass(frozen=True)
class Reading:
    """What a model made of one image."""

    text: str
    confidence: float
    """0 to 1: the product of the steps' probabilities, that of EOS included, or of a CTC recogniser
    the text's over all ways to have it; low for an empty text of an image with ink."""
    candidates: list[list[Candidate]]
    """For each character of the text, the best few answers, best first."""
    pieces: int = 1
    """How many the line was cut into."""
    remark: str = ""
    """What whoever gave the image should know of it."""


def readings(
    ids: NDArray[np.int64], probabilities: NDArray[np.float32], vocabulary: Vocabulary
) -> list[Reading]:
    """A reading a line from candidates [N, T, k], best first, and their probabilities.

    Which steps stand for characters, and which count towards the confidence, is the vocabulary's
    transcription's to say. A decoder's line that fills all T steps has no EOS, and nothing is
    assumed about what would have come.
    """
    return [
        _reading(line, chances, vocabulary)
        for line, chances in zip(ids, probabilities, strict=True)
    ]


def _reading(
    ids: NDArray[np.int64], chances: NDArray[np.float32], vocabulary: Vocabulary
) -> Reading:
    special = vocabulary.transcription
    best: list[int] = ids[:, 0].tolist()
    kept = special.steps_kept(best)
    if special.scheme is Scheme.CTC and special.blank is not None and len(ids):
        confidence = text_chance(ids, chances, [best[step] for step in kept], special.blank)
    else:
        confidence = math.prod(chances[: special.steps_read(best), 0].tolist())
    candidates = [
        [
            Candidate(character=vocabulary.name(index), confidence=probability)
            for index, probability in zip(*row, strict=True)
        ]
        for row in zip(ids[kept].tolist(), chances[kept].tolist(), strict=True)
    ]
    # Sums of many float32 may come out a hair above 1.
    return Reading(vocabulary.decode(best), min(max(confidence, 0.0), 1.0), candidates)


def fit_all(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8],
    size: Preprocessing,
    width: int | None = None,
) -> NDArray[np.uint8]:
    """Images h x w x 3 (RGB) of any sizes -> [N, H, W, 3]; W is the input's, or ``width``."""
    import numpy as np

    from hcompress.data.preprocess import fit

    width = size.width if width is None else width
    fitted = np.empty((len(images), size.height, width, size.channels), np.uint8)
    for place, image in enumerate(images):
        fitted[place] = fit(image, size.height, width)
    return fitted
