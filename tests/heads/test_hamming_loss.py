"""The Hamming head's losses: Equation 6, and a choice among all codes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hcompress.heads.hamming.loss import HAMMING_TEMPERATURE, code_cross_entropy, hinge_loss
from hcompress.heads.hamming.module import hamming_scores
from tests.special import EOS, FIRST_READABLE, PAD


@given(st.integers(0, 10**6), st.floats(0, 3))
@settings(max_examples=25)
def test_hinge_is_equation_6(seed: int, margin: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, 8, generator=rng)
    eta = torch.randint(0, 2, (7, 8), generator=rng).float()
    targets = torch.randint(0, 7, (2, 3), generator=rng)
    expected = 0.0
    for place in range(2):
        for step in range(3):
            if targets[place, step] == PAD:
                continue
            for bit in range(8):
                z, wanted = logits[place, step, bit].item(), eta[targets[place, step], bit].item()
                expected += max(0, margin - z) * wanted + max(0, margin + z) * (1 - wanted)
    found = hinge_loss(logits, targets, targets != PAD, eta * 2 - 1, margin)
    assert found.item() == pytest.approx(expected / 8, rel=1e-5, abs=1e-5)


@given(st.integers(0, 10**6))
@settings(max_examples=25)
def test_code_cross_entropy_is_that_of_the_nearest_code(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (9, 16), generator=rng).float() * 2 - 1
    targets = torch.tensor([[4, 8, EOS], [7, EOS, PAD]])
    # Bits that are all as sure: agreement is then the Hamming distance, and the loss `scores`'s.
    logits = 1.0 * (torch.randint(0, 2, (2, 3, 16), generator=rng).float() * 2 - 1)
    scores = hamming_scores(logits, signs) / (HAMMING_TEMPERATURE * 16)
    expected = -torch.log_softmax(scores[..., FIRST_READABLE:], -1)
    places = (targets - FIRST_READABLE).clamp(min=0)[..., None]
    counted = targets != PAD
    wanted = expected.gather(-1, places)[..., 0][counted].sum()
    found = code_cross_entropy(logits[counted], targets[counted], signs, FIRST_READABLE)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)
