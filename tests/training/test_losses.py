"""What counts in a loss, and how much."""

from __future__ import annotations

import pytest
import torch

from hcompress.heads.contract import Losses, Setting
from hcompress.heads.hamming.loss import hinge_loss
from hcompress.heads.hamming.module import HammingHead
from hcompress.heads.softmax import softmax_loss
from hcompress.spec.heads import Hamming
from hcompress.training.losses import answer_loss, feature_loss, state_loss
from tests.special import EOS, FIRST_READABLE, PAD


def test_padding_never_counts() -> None:
    """Neither what is found there nor what is asked for."""
    targets = torch.tensor([[4, EOS, PAD], [PAD, PAD, PAD]])
    counted = targets != PAD
    asked = targets.where(counted, torch.tensor(5))
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, generator=rng)
    other = logits.clone()
    other[0, 2], other[1] = 100, -100
    signs = torch.randint(0, 2, (8, 8), generator=rng).float() * 2 - 1
    head = HammingHead(Hamming(8), Setting(8, 8, FIRST_READABLE, 1.0, lambda: signs))
    choosing = Losses(code_cross_entropy=1.0)
    for loss in (
        lambda z, y: softmax_loss(z, y, counted, 0.1),
        lambda z, y: hinge_loss(z, y, counted, signs, 1.0),
        lambda z, y: head.loss(z, y, counted, choosing),
        lambda z, _: feature_loss(z, torch.zeros(2, 3, 8), counted),
        lambda z, _: answer_loss(z, torch.zeros(2, 3, 8), counted),
    ):
        assert loss(logits, targets).item() == pytest.approx(loss(other, asked).item())


def test_the_state_loss_counts_every_layer_the_same() -> None:
    wanted = torch.randn(2, 3, 4, 5) * torch.tensor([1.0, 100.0])[:, None, None, None]
    targets = torch.tensor([[5, 2, 0, 0], [5, 5, 2, 0], [2, 0, 0, 0]])
    counted = targets != PAD
    many = int(counted.sum())
    assert state_loss(wanted, wanted, counted).item() == 0
    assert state_loss(wanted * 0, wanted, counted).item() == pytest.approx(2 * many, rel=1e-4)
    first = state_loss(wanted[:1] * 0, wanted[:1], counted).item()
    assert first == pytest.approx(many, rel=1e-4)
