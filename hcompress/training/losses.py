"""The losses. N lines, T steps, V vocabulary, K bits, d features. PAD targets never count.

Each returns a sum and is divided by the number of targets of the whole batch, over all
processes, so that one process and many follow the same curve.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hcompress.recogniser.heads import HAMMING_TEMPERATURE
from hcompress.recogniser.vocabulary import FIRST_READABLE, PAD


def softmax_loss(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy (Eq. 1), summed. logits [N, T, V], targets [N, T]."""
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(),
        targets.flatten(),
        ignore_index=PAD,
        label_smoothing=smoothing,
        reduction="sum",
    )


def hinge_loss(logits: Tensor, targets: Tensor, signs: Tensor, margin: float) -> Tensor:
    """Eq. 6, averaged over the K bits and summed over targets.

    logits [N, T, K], targets [N, T], signs [V, K]. For a bit wanted at +1 the loss is
    max(0, margin - logit), for -1 it is max(0, margin + logit): max(0, margin - sign * logit).
    """
    wanted = torch.nn.functional.embedding(targets, signs)
    per_bit = torch.relu(margin - wanted * logits.float())
    return (per_bit.mean(-1) * (targets != PAD)).sum()


def choice_loss(
    logits: Tensor,
    targets: Tensor,
    signs: Tensor,
    answers: Tensor | None = None,
    share: float = 0.0,
) -> Tensor:
    """Cross-entropy of choosing the target's code among all readable ones, summed over targets.

    Eq. 6 asks each bit alone; which bits tell a character from the codes nearest to its own it
    can't see. Scores are those of Eq. 7 with the bit logits themselves in place of their signs,
    over the temperature of an untuned Hamming head. Of what is asked for, ``share`` is a teacher's
    answer, ``answers`` its logits: which characters a blurred one might be. logits [N, T, K],
    targets [N, T], signs [V, K], answers [N, T, V].
    """
    counted = targets != PAD
    scores = logits[counted].float() @ signs[FIRST_READABLE:].T
    scores = scores * (0.5 / (HAMMING_TEMPERATURE * signs.shape[1]))
    wanted = targets[counted] - FIRST_READABLE
    loss = torch.nn.functional.cross_entropy(scores, wanted, reduction="sum")
    if answers is None:
        return loss
    chances = torch.softmax(answers[counted][:, FIRST_READABLE:].float(), dim=-1)
    soft = torch.nn.functional.cross_entropy(scores, chances, reduction="sum")
    return (1 - share) * loss + share * soft


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
