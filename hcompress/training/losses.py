"""Distances to a teacher. N lines, T steps, V vocabulary, d features, S layers.

Each returns a sum and is divided by the number of targets of the whole batch, over all
processes, so that one process and many follow the same curve.
"""

from __future__ import annotations

import torch
from torch import Tensor


def feature_loss(features: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
    """Squared distance to the teacher's features h, averaged over d, summed over what counts.

    features, wanted [N, T, d]; counted [N, T].
    """
    distance = (features.float() - wanted.float()).square().mean(-1)
    return (distance * counted).sum()


def state_loss(states: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
    """Squared distance to the states of the teacher's layers, in shares of their own square.

    A layer's states grow with its depth; what is left of them counts the same at every depth.
    states, wanted [S, N, T, d]; counted [N, T]. Summed over layers and what counts.
    """
    aim = wanted.float()
    distance = (states.float() - aim).square().mean(-1) / (aim.square().mean(-1) + 1e-6)
    return (distance * counted).sum()


def answer_loss(logits: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the teacher's answers, summed over what counts.

    logits, wanted [N, T, V]; counted [N, T].
    """
    mine = torch.log_softmax(logits.float(), dim=-1)
    theirs = torch.log_softmax(wanted.float(), dim=-1)
    divergence = (theirs.exp() * (theirs - mine)).sum(-1)
    return (divergence * counted).sum()
