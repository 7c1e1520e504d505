"""Fitting the confidence temperature: what makes softmax and Hamming confidences comparable.

A score is a logit or minus a Hamming distance; divided by the temperature and put through a
softmax it is a probability. The temperature is the one under which labelled validation lines
are most likely, so that among answers given with 0.9 some nine of ten should be right.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hcompress.charset import UnknownCharacter
from hcompress.data.feed import drawn_images
from hcompress.recognisers.contract import Recogniser
from hcompress.spec.vocabulary import Vocabulary

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource


GOLDEN = (math.sqrt(5) - 1) / 2
CLOSE = 1e-5
"""How near the fitted temperature is to the likeliest, as a share of it."""
MOST = 2**12
"""Targets that the fit looks at: a line of any width has a hundred, of which one in ten is text."""
SCORES = 2**22
"""Scores held at once, each 8 bytes, three or four times over: 20,948 for every target would be
more than most machines have."""


@torch.inference_mode()
def fitted_temperature(
    model: Recogniser, vocabulary: Vocabulary, validation: DataSource, images: int, batch: int
) -> float:
    """The temperature with the least negative log-likelihood of the validation targets.

    The model's own if no target counts.
    """
    parts: list[Tensor] = []
    ids: list[Tensor] = []
    for cut in drawn_images(validation, images, batch, model.config.preprocessing):
        targets = model.targets(cut.texts, vocabulary, UnknownCharacter.SKIP_LINE).to(model.device)
        memory = model.encode(torch.from_numpy(cut.images).to(model.device))
        features, wanted = model.decided(memory, targets)
        parts.append(features)
        ids.append(wanted)
    if not sum(map(len, ids)):
        return model.config.temperature
    features, wanted = torch.cat(parts), torch.cat(ids)
    apart = -(-len(wanted) // MOST)  # as many from every line
    features, wanted = features[::apart], wanted[::apart]
    rows = max(1, SCORES // model.vocabulary)
    cuts = [slice(start, start + rows) for start in range(0, len(wanted), rows)]
    costs = [model.head.cost(features[cut], wanted[cut]) for cut in cuts]
    return likeliest(lambda temperature: sum(cost(temperature) for cost in costs))


def likeliest(cost: Callable[[float], float]) -> float:
    """The temperature with the least cost, a negative log-likelihood.

    Found over its logarithm, where a softmax's likelihood has one peak.
    """

    def at(log_temperature: float) -> float:
        return cost(math.exp(log_temperature))

    low, high = math.log(0.05), math.log(500.0)
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = at(left), at(right)
    while high - low > CLOSE:
        if at_left <= at_right:  # the left point is the next right one, and the other way round
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = at(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = at(right)
    return round(math.exp((low + high) / 2), 6)
