"""The hinge loss on bit logits (Eq. 6), and cross-entropy over the codes (ours)."""

from __future__ import annotations

import torch
from torch import Tensor

from hcompress.charset import FIRST_READABLE, PAD
from hcompress.heads.hamming.module import HAMMING_TEMPERATURE


def hinge_loss(logits: Tensor, targets: Tensor, signs: Tensor, margin: float) -> Tensor:
    """Eq. 6, averaged over the K bits and summed over targets.

    logits [N, T, K], targets [N, T], signs [V, K]. For a bit wanted at +1 the loss is
    max(0, margin - logit), for -1 it is max(0, margin + logit): max(0, margin - sign * logit).
    """
    wanted = torch.nn.functional.embedding(targets, signs)
    per_bit = torch.relu(margin - wanted * logits.float())
    return (per_bit.mean(-1) * (targets != PAD)).sum()


def code_cross_entropy(
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
