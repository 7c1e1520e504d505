"""Ways through the decoder other than its own: training along them teaches it to be cut."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from hcompress.recognisers.transformer.decoder import Route
from hcompress.spec.config import TransformerConfig


def slim_route(targets: Tensor, config: TransformerConfig) -> Route:
    """A way through the decoder as `slim-decoder` will cut it, drawn from the batch itself.

    Half of the batches go the shortest way there is: the middle layer stands in for all, and no
    feed-forward network is left. In the others every layer is any of the D; in half of these
    feed-forward networks are kept by the toss of a coin. From the batch, so that a run that was
    resumed draws what an undisturbed one draws. targets [N, T].
    """
    seed = [int(number) for number in targets.sum(1).tolist()]
    rng = np.random.default_rng(seed)
    depth, stored = config.depth, config.stored_layers
    if rng.random() < 0.5:
        return Route((stored // 2,) * depth, (False,) * depth)
    layers = tuple(int(layer) for layer in rng.integers(0, stored, depth))
    kept = rng.random(depth) < (0.5 if rng.random() < 0.5 else 0.0)
    return Route(layers, tuple(bool(keep) for keep in kept))
