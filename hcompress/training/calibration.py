"""Fitting the confidence temperature: what makes softmax and Hamming confidences comparable.

A score is a logit or minus a Hamming distance; divided by the temperature and put through a
softmax it is a probability. The temperature is the one under which labelled validation lines
are most likely, so that among answers given with 0.9 some nine of ten should be right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from hcompress.charset import PAD, UnknownCharacter, Vocabulary
from hcompress.data.feed import first_images
from hcompress.recognisers.transformer.model import Recogniser
from hcompress.recognisers.transformer.targets import targets_of
from hcompress.spec.config import CANDIDATES

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource


GOLDEN = (math.sqrt(5) - 1) / 2
CLOSE = 1e-5
"""How near the fitted temperature is to the likeliest, as a share of it."""
SCORES = 2**22
"""Scores held at once, each 8 bytes, three or four times over: 20,948 for every target would be
more than most machines have."""


@torch.inference_mode()
def fitted_temperature(
    model: Recogniser, vocabulary: Vocabulary, validation: DataSource, images: int, batch: int
) -> float:
    """The temperature with the least negative log-likelihood of the validation targets.

    The model's own where no target counts.
    """
    signs = model.code_signs()
    parts: list[Tensor] = []
    ids: list[Tensor] = []
    for cut in first_images(validation, images, batch, model.config.preprocessing):
        inputs, targets = targets_of(
            cut.texts, vocabulary, model.config.max_steps, UnknownCharacter.SKIP_LINE
        )
        device = model.memory_positions.device
        memory = model.encode(torch.from_numpy(cut.images).to(device))
        kept = targets.to(device) != PAD
        parts.append(model.features(memory, inputs.to(device), signs)[kept])
        ids.append(targets.to(device)[kept])
    if not sum(map(len, ids)):
        return model.config.temperature
    features, wanted = torch.cat(parts), torch.cat(ids)
    rows = max(1, SCORES // model.vocabulary)
    cuts = [slice(start, start + rows) for start in range(0, len(wanted), rows)]
    nearest = [_nearest(model, features[cut], signs) for cut in cuts]

    def blocks() -> Iterator[Block]:
        for cut, near in zip(cuts, nearest, strict=True):
            yield Block(model.scores(features[cut], signs).double(), wanted[cut], near)

    return likeliest(blocks)


def _nearest(model: Recogniser, features: Tensor, signs: Tensor | None) -> Nearest | None:
    """What a reranking recogniser looks at twice, None of another. features [N, d]."""
    if not model.config.rerank:
        return None
    assert signs is not None
    ids, _ = model.rank(model.scores(features, signs), CANDIDATES)
    return Nearest(ids, model.agreement(features, signs, ids).double())


class Nearest(NamedTuple):
    """What `Recogniser.refine` looks at."""

    ids: Tensor
    """[N, k]."""
    agreement: Tensor
    """[N, k]."""


class Block(NamedTuple):
    """Some of the targets."""

    scores: Tensor
    """[N, V]."""
    wanted: Tensor
    """Ids [N]."""
    nearest: Nearest | None = None
    """Where these share what they have together by their agreement: a reranking recogniser's."""

    def cost(self, temperature: float) -> float:
        """The negative log-likelihood of the wanted ids, summed."""
        chances = torch.log_softmax(self.scores / temperature, dim=-1)
        found = chances.gather(1, self.wanted[:, None])[:, 0]
        if self.nearest is not None:
            ids, agreement = self.nearest
            together = chances.gather(1, ids).logsumexp(1, keepdim=True)
            shares = together + torch.log_softmax(agreement / (2 * temperature), dim=-1)
            among = ids == self.wanted[:, None]
            found = torch.where(among.any(1), torch.where(among, shares, 0).sum(1), found)
        return -float(found.double().sum())


def likeliest(blocks: Callable[[], Iterable[Block]]) -> float:
    """The temperature under which the blocks, made anew for each one tried, are likeliest.

    Found over its logarithm, where a softmax's likelihood has one peak.
    """

    def cost(log_temperature: float) -> float:
        return sum(block.cost(math.exp(log_temperature)) for block in blocks())

    low, high = math.log(0.05), math.log(500.0)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = cost(left), cost(right)
    while high - low > CLOSE:
        if at_left <= at_right:  # the left point is the next right one, and the other way round
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = cost(right)
    return round(math.exp((low + high) / 2), 6)
