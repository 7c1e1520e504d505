"""A memory short of the backbone's last linear map: the decoder's answers are the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from hcompress.recognisers.rebuild import with_folded_batch_norm
from hcompress.spec.config import RecogniserConfig
from tests.builders import SLIM, SOFTMAX, noise, untrained
from tests.forcing import forced
from tests.special import BOS

pytestmark = pytest.mark.usefixtures("one_thread")

WIDE = replace(SOFTMAX, width=64)
"""Wider than what the backbone's last convolution takes."""


@pytest.mark.parametrize("config", [WIDE, replace(SLIM, width=64)])
def test_a_narrow_memory_gives_the_states_of_the_memory(config: RecogniserConfig) -> None:
    model = with_folded_batch_norm(untrained(config).eval())
    images, asked = torch.from_numpy(noise(3)), forced(torch.tensor([[BOS, 4, 5, 9]] * 3))
    narrow = model.encode_narrow(images)
    assert narrow is not None
    assert narrow.rows.shape[-1] < model.config.width
    memory = model.encode(images)
    torch.testing.assert_close(narrow.memory(), memory, rtol=1e-4, atol=1e-5)
    found, expected = model.states(narrow, asked), model.states(memory, asked)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)
    weights = list(model.decoder.parameters())
    wanted = torch.autograd.grad(expected[-1].square().sum(), weights)
    grads = torch.autograd.grad(found[-1].square().sum(), weights)
    for mine, theirs in zip(grads, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)


def test_no_narrow_memory_where_nothing_is_saved() -> None:
    images = torch.from_numpy(noise(1))
    assert untrained(WIDE).encode_narrow(images) is None  # normalisation is still live
    narrow = with_folded_batch_norm(untrained(replace(WIDE, width=16)).eval())
    assert narrow.encode_narrow(images) is None
