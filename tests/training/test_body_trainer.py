"""Weights in whole numbers, trained: what is written is what the network saw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hcompress.compute.rounding import rounded
from hcompress.foreign.edit import Stored
from hcompress.onnx_writer.whole_numbers import Ints
from hcompress.training.body_trainer import WholeNumbers

RNG = np.random.default_rng(8)
FLOATS = RNG.normal(size=(6, 16)).astype(np.float32)


def stored(group: int) -> Stored:
    made = rounded(FLOATS, 4, group)
    return Stored(Ints(made.values, made.units, 4, made.shares), FLOATS.shape)


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
