"""Whether an exported recogniser reads what torch reads. The text decides; numbers are listed.

Two runtimes sum in different orders, so a bit logit within rounding of zero may fall on either
side, and a line that hangs on such a bit has no answer that both must give. Such a line is
found out by the numbers at the step where the two part, counted as undecided, and listed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hcompress.errors import NumericalError
from hcompress.recognisers.contract import Recogniser, Targets
from hcompress.spec.transcription import Scheme, Transcription

ROUNDING = 1e-4
"""Of the logits' root mean square: what float32 sums may differ by, with room to spare."""
MOST_UNDECIDED = 1 / 16
"""Of the lines: where more hang on rounding, parity shows nothing."""
BATCH = 32
Decode = Callable[[NDArray[np.uint8]], tuple[NDArray[np.int64], NDArray[np.float32]]]
"""uint8 [N, H, W, 3] -> ids [N, T, k], probabilities [N, T, k]."""


@dataclass(frozen=True)
class Parity:
    """Two runtimes on the same images."""

    images: int
    different: tuple[int, ...]
    """Lines whose texts differ, and by more than rounding."""
    undecided: tuple[int, ...]
    """Lines whose texts differ because a step hangs on rounding."""
    candidates_different: int
    """Lines of one text whose other candidates are not the same or not in the same order."""
    probability_max: float
    probability_mean: float
    """Differences of the best ids' probabilities, over the lines of one text."""

    @property
    def agrees(self) -> bool:
        return not self.different and len(self.undecided) <= max(1, self.images * MOST_UNDECIDED)

    def to_dict(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "texts_different": len(self.different),
            "texts_undecided": list(self.undecided),
            "candidates_different": self.candidates_different,
            "probability_difference_max": self.probability_max,
            "probability_difference_mean": self.probability_mean,
        }


@dataclass(frozen=True)
class Decodings:
    """ids [N, T, k] and probabilities [N, T, k] of many images, padded to all T steps."""

    ids: NDArray[np.int64]
    probabilities: NDArray[np.float32]


def decode_all(
    decode: Decode, images: NDArray[np.uint8], steps: int, special: Transcription
) -> Decodings:
    """Batch by batch; a batch that ended early is padded as its ended lines are."""
    padded = next(i for i in (special.pad, special.blank, 0) if i is not None)
    ids, probabilities = [], []
    for start in range(0, len(images), BATCH):
        found, chances = decode(images[start : start + BATCH])
        padding = ((0, 0), (0, steps - found.shape[1]), (0, 0))
        ids.append(np.pad(found, padding, constant_values=padded))
        probabilities.append(np.pad(chances, padding, constant_values=1))
    return Decodings(np.concatenate(ids), np.concatenate(probabilities))


def decode_torch(model: Recogniser, images: NDArray[np.uint8]) -> Decodings:
    """What the export is held against."""

    def decode(batch: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        decoded = model.read(torch.from_numpy(batch))
        return decoded.ids.numpy(), decoded.probabilities.numpy()

    return decode_all(decode, images, model.config.max_steps, model.config.transcription)


def compare(
    model: Recogniser, images: NDArray[np.uint8], torchs: Decodings, others: Decodings
) -> Parity:
    """Line by line. Raises NumericalError where torch itself answers NaN."""
    if np.isnan(torchs.probabilities).any():
        raise NumericalError("torch answers NaN: nothing to hold an export against; train it again")
    first, second = torchs.ids[:, :, 0], others.ids[:, :, 0]
    apart = np.flatnonzero((first != second).any(1))
    different: list[int] = []
    undecided: list[int] = []
    for line in apart.tolist():
        step = int((first[line] != second[line]).argmax())
        hangs = hangs_on_rounding(
            model, images[line], first[line, :step], int(first[line, step]),
            int(second[line, step]),
        )  # fmt: skip
        (undecided if hangs else different).append(line)
    same = np.setdiff1d(np.arange(len(images)), apart)
    gaps = np.abs(torchs.probabilities[same, :, 0] - others.probabilities[same, :, 0])
    ended = first[same] == model.config.transcription.pad
    rest = (torchs.ids[same] != others.ids[same]).any((1, 2))
    return Parity(
        images=len(images),
        different=tuple(different),
        undecided=tuple(undecided),
        candidates_different=int(rest.sum()),
        probability_max=float(gaps.max(initial=0)),
        probability_mean=float(gaps[~ended].mean()) if (~ended).any() else 0.0,
    )


@torch.inference_mode()
def hangs_on_rounding(
    model: Recogniser, image: NDArray[np.uint8], prefix: NDArray[np.int64], one: int, other: int
) -> bool:
    """Whether rounding decides between two ids at the step after ``prefix`` [T]."""
    special = model.config.transcription
    if special.scheme is Scheme.EOS and special.pad in (one, other):
        return False  # one of the two has ended before
    targets = _along(np.concatenate([prefix, [one]])[None], special)
    h = model.features(model.encode(torch.from_numpy(image[None])), targets)[0, len(prefix)]
    return model.head.undecided(h, one, other, ROUNDING)


@torch.inference_mode()
def bit_differences(
    model: Recogniser, images: NDArray[np.uint8], ids: NDArray[np.int64], bits: NDArray[np.float32]
) -> dict[str, float]:
    """The exported bit logits [N, T, K] against torch's along the same ids [N, T]."""
    targets = _along(ids, model.config.transcription)
    h = model.features(model.encode(torch.from_numpy(images)), targets)
    counted = targets.counted.numpy()
    ours, theirs = model.head.logits(h).numpy()[counted], bits[counted]
    return {
        "bits": int(ours.size),
        "bits_different": int(((ours >= 0) != (theirs >= 0)).sum()),
        "bit_logit_difference_max": float(np.abs(ours - theirs).max(initial=0)),
        "bit_logit_rms": float(np.sqrt(np.square(ours).mean())) if ours.size else 0.0,
    }


def _along(ids: NDArray[np.int64], special: Transcription) -> Targets:
    """What a body is given that has answered ids [N, T] so far; steps after the end don't count."""
    wanted = torch.from_numpy(ids.astype(np.int64))
    if special.scheme is not Scheme.EOS:
        return Targets(wanted, wanted, torch.ones_like(wanted, dtype=torch.bool))
    assert special.bos is not None
    start = torch.full((len(ids), 1), special.bos)
    before = torch.cat([start, wanted[:, :-1]], 1)
    counted = before.ne(special.eos or 0) & before.ne(special.pad or 0)
    return Targets(before, wanted, counted)
