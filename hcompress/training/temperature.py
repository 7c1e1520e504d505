"""Fitting the confidence temperature: what makes softmax and Hamming confidences comparable.

A score is a logit or minus a Hamming distance; divided by the temperature and put through a
softmax it is a probability. The temperature is the one under which labelled validation lines
are most likely, so that among answers given with 0.9 some nine of ten should be right.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from hcompress.recogniser.config import CANDIDATES
from hcompress.recogniser.model import Recogniser
from hcompress.recogniser.vocabulary import PAD, UnknownCharacter, Vocabulary
from hcompress.training.lines import targets_of

if TYPE_CHECKING:
    from hcompress.data.source import DataSource

GOLDEN = (math.sqrt(5) - 1) / 2


@torch.inference_mode()
def fitted_temperature(
    model: Recogniser, vocabulary: Vocabulary, validation: DataSource, images: int, batch: int
) -> float:
    """The temperature with the least negative log-likelihood of the validation targets."""
    from hcompress.data.batches import batches

    signs = model.code_signs()
    scores: list[Tensor] = []
    nearest: list[Nearest] = []
    wanted: list[Tensor] = []
    count = min(images, len(validation))
    for cut in batches(validation, range(count), batch, model.config.preprocessing):
        inputs, targets = targets_of(
            cut.texts, vocabulary, model.config.max_steps, UnknownCharacter.SKIP_LINE
        )
        device = model.memory_positions.device
        memory = model.encode(torch.from_numpy(cut.images).to(device))
        features = model.features(memory, inputs.to(device), signs)
        kept = targets.to(device) != PAD
        scores.append(model.scores(features[kept], signs).double())
        if model.config.refined:
            assert signs is not None
            ids, _ = model.rank(scores[-1], CANDIDATES)
            nearest.append(Nearest(ids, model.agreement(features[kept], signs, ids).double()))
        wanted.append(targets.to(device)[kept])
    if not wanted:
        return model.config.temperature
    joined = Nearest(*map(torch.cat, zip(*nearest, strict=True))) if nearest else None
    return likeliest(torch.cat(scores), torch.cat(wanted), joined)


class Nearest(NamedTuple):
    """What `Recogniser.refine` looks at."""

    ids: Tensor
    """[N, k]."""
    agreement: Tensor
    """[N, k]."""


def likeliest(scores: Tensor, wanted: Tensor, nearest: Nearest | None = None) -> float:
    """The temperature under which scores [N, V] make the wanted ids [N] likeliest.

    Found over its logarithm, where a softmax's likelihood has one peak. ``nearest`` where these
    share what they have together by their agreement, as a refined recogniser's do.
    """

    def cost(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        chances = torch.log_softmax(scores / temperature, dim=-1)
        found = chances.gather(1, wanted[:, None])[:, 0]
        if nearest is not None:
            together = chances.gather(1, nearest.ids).logsumexp(1, keepdim=True)
            shares = together + torch.log_softmax(nearest.agreement / (2 * temperature), dim=-1)
            among = nearest.ids == wanted[:, None]
            found = torch.where(among.any(1), torch.where(among, shares, 0).sum(1), found)
        return -float(found.mean())

    low, high = math.log(0.05), math.log(500.0)
    for _ in range(40):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if cost(left) <= cost(right):
            high = right
        else:
            low = left
    return round(math.exp((low + high) / 2), 6)
