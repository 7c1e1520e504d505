"""From a decoder's numbers to a text and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypedDict

from hcompress.runtime.likelihood import text_chance
from hcompress.runtime.only import among_candidates
from hcompress.spec.transcription import Scheme
from hcompress.strict.files import quoted

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
    ids: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    vocabulary: Vocabulary,
    mask: NDArray[np.bool_] | None = None,
) -> list[Reading]:
    """A reading a line from candidates [N, T, k], best first, and their probabilities.

    Which steps stand for characters, and which count towards the confidence, is the vocabulary's
    transcription's to say. A decoder's line that fills all T steps has no EOS, and nothing is
    assumed about what would have come. ``mask`` [V]: the ids that may be answered; a remark says
    where the k candidates were too few for it.
    """
    if mask is None:
        lines = zip(ids, probabilities, strict=True)
        return [_reading(line, chances, vocabulary, ()) for line, chances in lines]
    chosen = among_candidates(ids, probabilities, mask)
    found = []
    for line, chances, _, lost, moved in zip(*chosen, strict=True):
        best: list[int] = line[:, 0].tolist()
        read = vocabulary.transcription.steps_read(best)
        gone = _places(lost[:read])
        reading = _reading(line, chances, vocabulary, gone, mask)
        later = vocabulary.transcription.scheme is Scheme.EOS and bool(moved[:read].any())
        found.append(replace(reading, remark=_of_only(len(gone), ids.shape[2], later)))
    return found


def _places(flags: NDArray[np.bool_]) -> list[int]:
    return [place for place, flag in enumerate(flags.tolist()) if flag]


def _of_only(lost: int, kept: int, later: bool) -> str:
    """What is said of a line whose answers were restricted among ``kept`` candidates."""
    said = []
    if lost:
        said.append(
            f"left out where none of the best {kept} answers is among those asked for: {lost}"
            f" place{'s' if lost > 1 else ''}"
        )
    if later:
        said.append("read without the restriction, which then chose among each step's answers")
    return "; ".join(said)


def _reading(
    ids: NDArray[np.int64],
    chances: NDArray[np.float32],
    vocabulary: Vocabulary,
    lost: Sequence[int],
    mask: NDArray[np.bool_] | None = None,
) -> Reading:
    """``lost``: steps of which nothing may be answered."""
    special = vocabulary.transcription
    best: list[int] = ids[:, 0].tolist()
    ctc = special.scheme is Scheme.CTC and special.blank is not None and len(ids) > 0
    if ctc and special.blank is not None:
        for step in lost:
            best[step] = special.blank
    kept = [step for step in special.steps_kept(best) if step not in set(lost)]
    if ctc and special.blank is not None:
        confidence = text_chance(ids, chances, [best[step] for step in kept], special.blank)
    else:
        confidence = math.prod(chances[: special.steps_read(best), 0].tolist())
    candidates = [
        [
            Candidate(character=vocabulary.name(index), confidence=probability)
            for index, probability in zip(*row, strict=True)
            if mask is None or mask[index]
        ]
        for row in zip(ids[kept].tolist(), chances[kept].tolist(), strict=True)
    ]
    text = "".join(vocabulary.name(best[step]) for step in kept)
    # Sums of many float32 may come out a hair above 1.
    return Reading(text, min(max(confidence, 0.0), 1.0), candidates)


def surely(reading: Reading, least: float) -> Reading:
    """The reading, or one without a text, and with a remark, if it is less sure than ``least``."""
    if reading.confidence >= least or not reading.text:
        return reading
    said = f"left out, being less sure than {least:g}: {quoted(reading.text)}"
    return remarked(replace(reading, text="", candidates=[]), said)


def remarked(reading: Reading, *remarks: str) -> Reading:
    """With more to be said of it; nothing twice."""
    said = dict.fromkeys(filter(None, (reading.remark, *remarks)))
    return replace(reading, remark="; ".join(said)) if said else reading


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
