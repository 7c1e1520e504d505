"""From a decoder's numbers to a text and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from hcompress.charset import EOS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.charset import Vocabulary
    from hcompress.spec.config import Preprocessing


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
    """0 to 1: the product of the steps' probabilities, that of EOS included."""
    candidates: list[list[Candidate]]
    """For each character of the text, the best few answers, best first."""


def readings(
    ids: NDArray[np.int64], probabilities: NDArray[np.float32], vocabulary: Vocabulary
) -> list[Reading]:
    """A reading a line from candidates [N, T, k], best first, and their probabilities.

    A line ends with its first EOS; one that fills all T steps has none, and nothing is assumed
    about what would have come. Steps after the end are PAD with probability 1.
    """
    return [
        _reading(line.tolist(), chances.tolist(), vocabulary)
        for line, chances in zip(ids, probabilities, strict=True)
    ]


def _reading(ids: list[list[int]], chances: list[list[float]], vocabulary: Vocabulary) -> Reading:
    confidence, candidates = 1.0, []
    best = [step[0] for step in ids]
    for step, chance in zip(ids, chances, strict=True):
        confidence *= chance[0]
        if step[0] == EOS:
            break
        candidates.append(
            [
                Candidate(character=vocabulary.name(index), confidence=probability)
                for index, probability in zip(step, chance, strict=True)
            ]
        )
    # Sums of many float32 may come out a hair above 1.
    return Reading(vocabulary.decode(best), min(max(confidence, 0.0), 1.0), candidates)


def fit_all(
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], size: Preprocessing
) -> NDArray[np.uint8]:
    """Images h x w x 3 (RGB) of any sizes -> [N, H, W, 3]."""
    import numpy as np

    from hcompress.data.preprocess import fit

    fitted = np.empty((len(images), size.height, size.width, size.channels), np.uint8)
    for place, image in enumerate(images):
        fitted[place] = fit(image, size.height, size.width)
    return fitted
