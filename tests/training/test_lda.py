"""Columns from means: where they look, and what they need."""

from __future__ import annotations

import pytest
import torch

from hcompress.errors import InputRefused
from hcompress.training.lda import Moments


def test_columns_look_where_features_differ_least_within_a_class() -> None:
    rng = torch.Generator().manual_seed(0)
    loud = torch.tensor([50.0] + [1.0] * 11)
    means = torch.randn(40, 12, generator=rng) * 3 + 100
    ids = torch.arange(40).repeat(6)
    moments = Moments.empty(41, 12)
    for half in (slice(0, 120), slice(120, 240)):
        noise = torch.randn(120, 12, generator=rng) * loud
        moments.add(means[ids[half]] + noise, ids[half])
    columns, centre = moments.columns()
    assert not columns[40].any()  # no image of it
    fresh = means[ids] + torch.randn(240, 12, generator=rng) * loud
    found = ((fresh.double() - centre) @ columns.T).argmax(1)
    plain = moments.sums[:40] / 6 - centre
    nearest = torch.cdist(fresh.double() - centre, plain).argmin(1)
    right, less = ((found == ids).double().mean().item(), (nearest == ids).double().mean().item())
    assert right > 0.9 > 0.5 > less


def test_columns_need_a_character_with_two_images() -> None:
    moments = Moments.empty(3, 4)
    moments.add(torch.randn(3, 4), torch.arange(3))
    with pytest.raises(InputRefused, match="no character has two images"):
        moments.columns()
