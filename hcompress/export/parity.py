"""Whether an exported recogniser reads what torch reads. The text decides; numbers are listed.

Two runtimes sum in different orders, so a bit logit within rounding of zero may fall on either
side, and a line that hangs on such a bit has no answer that both must give. Such a line is
found out by the numbers at the step where the two part, counted as undecided, and listed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hcompress.charset import BOS, EOS, FIRST_READABLE, PAD
from hcompress.errors import NumericalError
from hcompress.recognisers.transformer.model import Recogniser
from hcompress.spec.config import CANDIDATES, Classifier

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


def decode_all(decode: Decode, images: NDArray[np.uint8], steps: int) -> Decodings:
    """Batch by batch; a batch that ended early is padded as its ended lines are."""
    ids, probabilities = [], []
    for start in range(0, len(images), BATCH):
        found, chances = decode(images[start : start + BATCH])
        padding = ((0, 0), (0, steps - found.shape[1]), (0, 0))
        ids.append(np.pad(found, padding, constant_values=PAD))
        probabilities.append(np.pad(chances, padding, constant_values=1))
    return Decodings(np.concatenate(ids), np.concatenate(probabilities))


def decode_torch(model: Recogniser, images: NDArray[np.uint8]) -> Decodings:
    """What the export is held against."""

    def decode(batch: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        decoded = model.read(torch.from_numpy(batch))
        return decoded.ids.numpy(), decoded.probabilities.numpy()

    return decode_all(decode, images, model.config.max_steps)


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
    ended = first[same] == PAD
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
    if PAD in (one, other):
        return False
    memory = model.encode(torch.from_numpy(image[None]))
    ids = torch.from_numpy(np.concatenate([[BOS], prefix])[None].astype(np.int64))
    logits = model.classifier(model.features(memory, ids, model.code_signs()))[0, -1]
    near = ROUNDING * float(logits.square().mean().sqrt())
    if not math.isfinite(near):
        return False
    if model.config.classifier is Classifier.SOFTMAX:
        return abs(float(logits[one] - logits[other])) <= near
    signs = model.signs()[[one, other]]
    telling = signs[0] != signs[1]
    query = torch.where(logits >= 0, 1, -1)
    distances = (signs != query).sum(1)
    if model.config.rerank:
        return _hangs_reranked(model, logits, distances, signs, near)
    # Each telling bit that turns over moves the two distances apart by two.
    turning = int((telling & (logits.abs() <= near)).sum())
    return turning > 0 and abs(int(distances[0] - distances[1])) <= 2 * turning


def _hangs_reranked(
    model: Recogniser, logits: Tensor, distances: Tensor, signs: Tensor, near: float
) -> bool:
    """Whether their agreement is the same but for rounding, or one is a candidate by rounding.

    logits [K], distances [2], signs [2, K].
    """
    agreement = signs @ logits
    telling = int((signs[0] != signs[1]).sum())
    if abs(float(agreement[0] - agreement[1])) <= 2 * near * telling**0.5:
        return True
    turning = int((logits.abs() <= near).sum())
    all_signs = model.signs()[FIRST_READABLE:]
    others = (all_signs != torch.where(logits >= 0, 1, -1)).sum(1).sort().values
    last = int(others[min(CANDIDATES, len(others)) - 1])
    # A bit that turns over moves a code by one, and the last candidate by one the other way.
    return turning > 0 and int((distances - last).abs().min()) <= 2 * turning


@torch.inference_mode()
def bit_differences(
    model: Recogniser, images: NDArray[np.uint8], ids: NDArray[np.int64], bits: NDArray[np.float32]
) -> dict[str, float]:
    """The exported bit logits [N, T, K] against torch's along the same ids [N, T]."""
    memory = model.encode(torch.from_numpy(images))
    start = np.full((len(ids), 1), BOS, np.int64)
    before = torch.from_numpy(np.concatenate([start, ids[:, :-1]], 1))
    logits: Tensor = model.classifier(model.features(memory, before, model.code_signs()))
    counted = ~np.isin(before.numpy(), (EOS, PAD))
    ours, theirs = logits.numpy()[counted], bits[counted]
    return {
        "bits": int(ours.size),
        "bits_different": int(((ours >= 0) != (theirs >= 0)).sum()),
        "bit_logit_difference_max": float(np.abs(ours - theirs).max(initial=0)),
        "bit_logit_rms": float(np.sqrt(np.square(ours).mean())) if ours.size else 0.0,
    }
