"""EMU's equations against numbers worked out by hand, and against differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hcompress.heads.emu.core import (
    LEAST_LOSS,
    contrastive_loss,
    contrastive_scores,
    moving_sharpness,
    relaxed_signs,
    scheduled_sharpness,
    sharpening,
    wanted_sharpness,
)
from hcompress.heads.emu.options import Surrogate


def drawn(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """x [5, 8], beta [5, 1] and what comes back along phi [5, 8]."""
    torch.manual_seed(seed)
    x, beta = torch.randn(5, 8, dtype=torch.double), torch.rand(5, 1, dtype=torch.double) + 0.5
    return x.requires_grad_(), beta.requires_grad_(), torch.randn(5, 8, dtype=torch.double)


@pytest.mark.parametrize("surrogate", Surrogate)
def test_relaxed_signs_are_tanh_of_beta_x(surrogate: Surrogate) -> None:
    x, beta = torch.tensor([[0.5, -1.0]]), torch.tensor([[2.0]])
    made = relaxed_signs(x, beta, surrogate)
    assert made.tolist()[0] == pytest.approx([math.tanh(1), -math.tanh(2)])


def test_the_papers_gradients_are_equation_17() -> None:
    x, beta, back = drawn()
    relaxed_signs(x, beta, Surrogate.PAPER).backward(back)  # type: ignore[no-untyped-call]
    assert torch.allclose(x.grad, back * (1 - torch.tanh(x) ** 2))  # type: ignore[arg-type]
    # Beta's forgets x, and is the same for all bits of a decision.
    by_hand = back.sum(1, keepdim=True) * (1 - torch.tanh(beta) ** 2)
    assert torch.allclose(beta.grad, by_hand)  # type: ignore[arg-type]


def test_exact_gradients_are_what_differences_say() -> None:
    x, beta, _ = drawn()
    torch.autograd.gradcheck(lambda a, b: relaxed_signs(a, b, Surrogate.EXACT), (x, beta))


def test_the_papers_gradient_does_not_vanish_where_tanhs_own_does() -> None:
    for surrogate, least in ((Surrogate.PAPER, 0.4), (Surrogate.EXACT, 0.0)):
        x = torch.tensor([[1.0]], requires_grad=True)
        relaxed_signs(x, torch.tensor([[50.0]]), surrogate).sum().backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        assert (float(x.grad) > least) is (surrogate is Surrogate.PAPER)


def test_a_scalar_beta_has_one_gradient() -> None:
    x, _, back = drawn()
    beta = torch.tensor(1.5, dtype=torch.double, requires_grad=True)
    relaxed_signs(x, beta, Surrogate.PAPER).backward(back)  # type: ignore[no-untyped-call]
    assert beta.grad is not None
    assert float(beta.grad) == pytest.approx(float(back.sum()) * (1 - math.tanh(1.5) ** 2))


def test_scores_are_cosines_times_s_and_the_loss_is_their_cross_entropy() -> None:
    bits, codes = torch.tensor([[0.5, 0.5]]), torch.tensor([[1.0, 1.0], [-2.0, 2.0], [-0.1, -0.1]])
    scores = contrastive_scores(bits, codes, 20.0)
    assert scores.tolist()[0] == pytest.approx([20, 0, -20], abs=1e-4)
    loss = contrastive_loss(scores, torch.tensor([1]))
    assert loss.tolist() == pytest.approx([math.log(math.exp(20) + 1 + math.exp(-20))], abs=1e-4)


def test_the_loss_learns_at_times_twenty_and_not_at_a_twentieth() -> None:
    """What the paper's tau = 20 comes to: all scores alike, and a loss of ln V."""
    codes = torch.eye(100) * 2 - 1
    ids = torch.arange(100)
    assert float(contrastive_loss(contrastive_scores(codes, codes, 1 / 20), ids).mean()) > 4.5
    assert float(contrastive_loss(contrastive_scores(codes, codes, 20.0), ids).mean()) < 4.4


def test_a_decision_is_drawn_up_only_where_it_is_below_its_aim() -> None:
    wanted = wanted_sharpness(torch.tensor([0.5, 0.01, 0.0]), mu=2.0)
    assert wanted.tolist() == pytest.approx([4, 200, 2 / LEAST_LOSS])
    beta = torch.tensor([5.0, 5.0, 5.0], requires_grad=True)
    drawn_up = sharpening(beta, wanted, 1e-2)
    assert drawn_up.tolist() == pytest.approx([0, -0.05, -0.05])
    drawn_up.sum().backward()  # type: ignore[no-untyped-call]
    assert beta.grad is not None
    assert beta.grad.tolist() == pytest.approx([0, -0.01, -0.01])


def test_the_codes_beta_moves_and_the_schedule_grows() -> None:
    assert float(moving_sharpness(torch.tensor(2.0), torch.tensor(4.0), 0.75)) == 2.5
    assert [scheduled_sharpness(step) for step in (0, 6, 16)] == [1, 2, 3]
