"""Weights in whole numbers, trained: what is written is what the network saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hcompress.compute.levels import levels
from hcompress.compute.rounding import rounded
from hcompress.foreign.edit import Stored
from hcompress.onnx_writer.whole_numbers import Ints
from hcompress.training.body_trainer import WholeNumbers

RNG = np.random.default_rng(8)
FLOATS = RNG.standard_t(3, size=(6, 16)).astype(np.float32)


def stored(group: int) -> Stored:
    return Stored(Ints.of(rounded(FLOATS, 4, group, held=levels(4, 1.5))), FLOATS.shape)


@pytest.mark.parametrize("group", [16, 4])
def test_untrained_it_is_what_was_stored(group: int) -> None:
    how = stored(group)
    weight = WholeNumbers(how)
    np.testing.assert_array_equal(weight().detach().numpy(), how.floats())
    np.testing.assert_array_equal(weight.stored().floats(), how.floats())


@pytest.mark.parametrize("group", [16, 4])
def test_trained_it_writes_what_the_network_sees(group: int) -> None:
    weight = WholeNumbers(stored(group))
    optimiser = torch.optim.Adam(weight.parameters(), 0.1)
    target = torch.from_numpy(RNG.normal(size=FLOATS.shape).astype(np.float32))
    losses = []
    for _ in range(60):
        loss = (weight() - target).square().mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.5 * losses[0]
    np.testing.assert_array_equal(weight.stored().floats(), weight().detach().numpy())


def test_a_scale_learns_from_the_numbers_it_multiplies() -> None:
    """Its gradient is that of the weight it stretches, not only of what rounding left over: begun
    at the middle of their cells that is nothing, and Adam makes steps of any noise."""
    weight = WholeNumbers(stored(4))
    heed = torch.from_numpy(RNG.normal(size=FLOATS.shape).astype(np.float32))
    (weight() * heed).sum().backward()
    assert weight.stretch.grad is not None
    wanted = (weight().detach() * heed).reshape(6, 4, 4).sum(-1)
    torch.testing.assert_close(weight.stretch.grad, wanted, rtol=1e-2, atol=1e-3)
