"""Relaxed signs, the contrastive loss and its sharpness: EMU's equations as pure functions.

M decisions, V vocabulary, K bits.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hcompress.heads.emu.options import Surrogate

LEAST_LOSS = 1e-6
"""What a loss is held to before it divides."""


class _Paper(torch.autograd.Function):
    """tanh(beta x) with the gradients of Eq. 17."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: Tensor) -> Tensor:
        ctx.save_for_backward(x, beta)
        return torch.tanh(beta * x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (grad,) = grads
        x, beta = ctx.saved_tensors
        by_beta = (grad * (1 - torch.tanh(beta).square())).sum_to_size(beta.shape)
        return grad * (1 - torch.tanh(x).square()), by_beta


def relaxed_signs(x: Tensor, beta: Tensor, surrogate: Surrogate) -> Tensor:
    """phi(x) = tanh(beta x): x [..., K], beta [..., 1] or [] -> [..., K], within -1 and 1.

    Its gradients are those of Eq. 17, without beta's factor x, or by the chain rule (Eq. 16).
    """
    if surrogate is Surrogate.EXACT:
        return torch.tanh(beta * x)
    made: Tensor = _Paper.apply(x, beta)  # type: ignore[no-untyped-call]
    return made


def contrastive_scores(bits: Tensor, codes: Tensor, scale: float) -> Tensor:
    """s times the cosine of relaxed bits [..., K] and codes [V, K]: [..., V] (Eq. 12's logits)."""
    return scale * functional.normalize(bits, dim=-1) @ functional.normalize(codes, dim=-1).T


def contrastive_loss(scores: Tensor, ids: Tensor) -> Tensor:
    """Eq. 12: minus the log-probability of ids [M] by scores [M, V], for each: [M]."""
    return functional.cross_entropy(scores, ids, reduction="none")


def wanted_sharpness(loss: Tensor, mu: float) -> Tensor:
    """Eq. 13: the sharpness [M] that losses [M] ask for. No gradient goes through it."""
    return mu / loss.detach().clamp(min=LEAST_LOSS)


def sharpening(beta: Tensor, wanted: Tensor, weight: float) -> Tensor:
    """Eq. 14's second term, [M]: what draws beta [M] up where it is below ``wanted`` [M]."""
    return -weight * (beta < wanted) * beta


def moving_sharpness(before: Tensor, mean: Tensor, decay: float) -> Tensor:
    """Eq. 15: beta' for the codes, a moving mean of the decisions' own."""
    return decay * before + (1 - decay) * mean


def scheduled_sharpness(step: int) -> float:
    """Beta at a step where no net makes it (Table V's ablation)."""
    return math.sqrt(1 + 0.5 * step)
