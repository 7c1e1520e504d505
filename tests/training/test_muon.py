"""Muon: even steps for matrices alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hcompress.training.line_trainer import Aim, LineTrainer
from hcompress.training.loop import Schedule
from hcompress.training.muon import Muon, orthogonal
from tests.builders import CHARACTERS, HAMMING, untrained
from tests.training.tasks import REFUSE, line_task, run


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
@settings(max_examples=30)
def test_an_orthogonal_update_keeps_directions_and_evens_out_sizes(
    rows: int, columns: int, seed: int
) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    update = orthogonal(matrix * 1e-3)
    assert update.shape == matrix.shape
    left, sizes, right = torch.linalg.svd(matrix, full_matrices=False)
    inside = left.T @ update @ right.T
    diagonal = torch.diagonal(inside)
    assert torch.allclose(inside - torch.diag(diagonal), torch.zeros_like(inside), atol=2e-3)
    large = sizes > 0.05 * sizes.norm()
    assert ((diagonal[large] > 0.6) & (diagonal[large] < 1.3)).all()
    assert (diagonal < 1.3).all()


def test_muon_takes_every_gradient_and_moves_every_other_step() -> None:
    def after(*gradients: torch.Tensor) -> list[torch.Tensor]:
        matrix = torch.nn.Parameter(torch.zeros(6, 4))
        optimiser, places = Muon([matrix], lr=0.1), []
        for gradient in gradients:
            matrix.grad = gradient
            optimiser.step()
            places.append(matrix.detach().clone())
        return places

    one, other, third = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(3))
    first, second, last = after(one, other, third)
    assert first.abs().max() > 0
    assert torch.equal(first, second)
    assert not torch.equal(second, last)
    assert not torch.equal(after(one, -other, third)[2], last)  # the second one was not lost
    # A move is worth two steps at the rate asked for: 0.2 as AdamW's usual one is.
    size = first.square().mean().sqrt().item()
    assert size == pytest.approx(2 * 0.1 * 0.2, rel=0.25)


def test_muon_takes_the_matrices_and_adamw_the_rest(tmp_path: Path) -> None:
    model = untrained(HAMMING)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    task = line_task(
        LineTrainer(model, None, Aim(CHARACTERS, REFUSE)), 1, matrices=("student.decoder.",)
    )
    run(task, Schedule(1, 4, 0.0, 1e-2, warmup=1, weight_decay=0.0), tmp_path)
    moved = {
        k for k, v in model.state_dict().items()
        if v.is_floating_point() and not torch.equal(v, before[k]) and "running" not in k
    }  # fmt: skip
    assert moved == {
        name for name, p in model.named_parameters() if name.startswith("decoder.") and p.ndim == 2
    }
