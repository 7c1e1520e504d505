"""Bytes for values: what is lost, and what stays exact."""

from __future__ import annotations

import numpy as np
import pytest

from hcompress.compute.grids import MOST, fitted, grid

RNG = np.random.default_rng(4)


@pytest.mark.parametrize(("low", "high"), [(-3.0, 5.0), (0.0, 6.0), (-0.17, 12.0), (-2.0, 0.0)])
def test_ends_and_nought_are_in_reach(low: float, high: float) -> None:
    made = grid(low, high)
    assert 0 <= made.zero <= MOST
    near = made.near(np.array([low, 0.0, high], np.float32))
    assert near[1] == 0
    np.testing.assert_allclose(near, [low, 0.0, high], atol=0.51 * made.scale)


def test_a_rare_giant_is_clipped_where_that_is_nearer_for_the_others() -> None:
    sample = RNG.normal(size=400_000).astype(np.float32)
    sample[0] = 8.0
    low, high = float(sample.min()), float(sample.max())
    found, whole = fitted(sample, low, high), grid(low, high)
    assert found.scale < 0.9 * whole.scale
    error = [float(np.square(one.near(sample) - sample).sum()) for one in (found, whole)]
    assert error[0] < error[1]


def test_even_samples_keep_all_of_their_range() -> None:
    sample = RNG.uniform(-1, 1, 5000).astype(np.float32)
    assert fitted(sample, -1.0, 1.0) == grid(-1.0, 1.0)


def test_nothing_but_noughts() -> None:
    made = fitted(np.zeros(8, np.float32), 0.0, 0.0)
    assert made.scale > 0
    assert not made.near(np.zeros(3, np.float32)).any()
