"""The losses. N lines, T steps, V vocabulary, K bits, d features. PAD targets never count.

Each returns a sum and is divided by the number of targets of the whole batch, over all
processes, so that one process and many follow the same curve.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hcompress.charset import PAD


def feature_loss(features: Tensor, wanted: Tensor, targets: Tensor) -> Tensor:
    """Squared distance to the teacher's features h, averaged over d, summed over targets.

    features, wanted [N, T, d]; targets [N, T].
    """
    distance = (features.float() - wanted.float()).square().mean(-1)
    return (distance * (targets != PAD)).sum()


def state_loss(states: Tensor, wanted: Tensor, targets: Tensor) -> Tensor:
    """Squared distance to the states of the teacher's layers, in shares of their own square.

    A layer's states grow with its depth; what is left of them counts the same at every depth.
    states, wanted [S, N, T, d]; targets [N, T]. Summed over layers and targets.
    """
    aim = wanted.float()
    distance = (states.float() - aim).square().mean(-1) / (aim.square().mean(-1) + 1e-6)
    return (distance * (targets != PAD)).sum()


def answer_loss(logits: Tensor, wanted: Tensor, targets: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the teacher's answers, summed over targets.

    logits, wanted [N, T, V]; targets [N, T].
    """
    mine = torch.log_softmax(logits.float(), dim=-1)
    theirs = torch.log_softmax(wanted.float(), dim=-1)
    divergence = (theirs.exp() * (theirs - mine)).sum(-1)
    return (divergence * (targets != PAD)).sum()
