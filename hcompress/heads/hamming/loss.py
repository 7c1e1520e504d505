"""The hinge loss on bit logits (Eq. 6), and cross-entropy over the codes (ours).

N lines, T steps, M decisions, V vocabulary, K bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

HAMMING_TEMPERATURE = 1 / 32
"""Confidence temperature of an untuned Hamming head, in code lengths: 16 bits at K = 512."""


def hinge_loss(
    logits: Tensor, targets: Tensor, counted: Tensor, signs: Tensor, margin: float
) -> Tensor:
    """Eq. 6, averaged over the K bits and summed over the targets that count.

    logits [N, T, K], targets and counted [N, T] (true or false, or a share), signs [V, K]. For a
    bit wanted at +1 the loss is max(0, margin - logit), for -1 it is max(0, margin + logit):
    max(0, margin - sign * logit).
    """
    wanted = torch.nn.functional.embedding(targets, signs)
    per_bit = torch.relu(margin - wanted * logits.float())
    return (per_bit.mean(-1) * counted).sum()


def code_scores(logits: Tensor, signs: Tensor) -> Tensor:
    """Bit logits [..., K] along each code, signs [V, K], over an untuned head's temperature:
    [..., V]."""
    scores = logits.float() @ signs.T
    return scores * (0.5 / (HAMMING_TEMPERATURE * signs.shape[1]))


def code_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    signs: Tensor,
    first_answer: int,
    answers: Tensor | None = None,
    share: float = 0.0,
) -> Tensor:
    """Cross-entropy of choosing the target's code among all readable ones, summed over targets.

    Eq. 6 asks each bit alone; which bits tell a character from the codes nearest to its own it
    can't see. Scores are those of Eq. 7 with the bit logits themselves in place of their signs,
    over the temperature of an untuned Hamming head. Of what is asked for, ``share`` is a teacher's
    answer, ``answers`` its logits: which characters a blurred one might be. logits [M, K],
    targets [M], signs [V, K], answers [M, V]; ids from ``first_answer`` on are readable.
    """
    scores = code_scores(logits, signs[first_answer:])
    wanted = targets - first_answer
    loss = torch.nn.functional.cross_entropy(scores, wanted, reduction="sum")
    if answers is None:
        return loss
    chances = torch.softmax(answers[:, first_answer:].float(), dim=-1)
    soft = torch.nn.functional.cross_entropy(scores, chances, reduction="sum")
    return (1 - share) * loss + share * soft
