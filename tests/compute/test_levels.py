"""What numbers stand for: which levels are chosen, and what uneven ones save."""

from __future__ import annotations

import numpy as np
import pytest

from hcompress.compute.levels import CURVES, EVEN, levels
from hcompress.compute.rounding import rounded, suited
from hcompress.onnx_writer.whole_numbers import Ints

RNG = np.random.default_rng(11)


@pytest.mark.parametrize("bits", range(2, 8))
@pytest.mark.parametrize("curve", CURVES)
def test_levels_rise_and_keep_nought_and_the_greatest(bits: int, curve: float) -> None:
    held = levels(bits, curve)
    assert len(held.table) == 2**bits
    assert (np.diff(held.table.astype(np.float64)) > 0).all()
    assert held.table[2 ** (bits - 1)] == 0
    assert held.table[-1] == 2 ** (bits - 1) - 1


@pytest.mark.parametrize("curve", CURVES)
def test_nearest_is_nearest_and_numbers_find_their_levels(curve: float) -> None:
    held = levels(4, curve)
    wanted = RNG.normal(scale=4, size=300).astype(np.float32)
    table = held.table.astype(np.float32)
    found = held.near(wanted)
    assert np.allclose(np.abs(found - wanted), np.abs(table - wanted[:, None]).min(1))
    assert (held.near(table) == table).all()
    assert held.numbers(table).tolist() == list(range(-8, 8))


def test_heavy_tails_choose_uneven_levels_and_lose_a_third_less() -> None:
    weight = RNG.standard_t(3, size=(64, 128)).astype(np.float32)
    made = rounded(weight, 4, 32)
    even = rounded(weight, 4, 32, held=levels(4))
    assert not made.levels.even
    lost = [np.square(Ints.of(one).floats() - weight).sum() for one in (made, even)]
    assert lost[0] < 0.67 * lost[1]
    assert Ints.of(made).bytes == Ints.of(even).bytes + 2 * 2**4


def test_evenly_spread_weights_keep_even_levels() -> None:
    weight = RNG.uniform(-1, 1, size=(64, 128)).astype(np.float32)
    assert suited(weight, 4, 32) is levels(4, EVEN)
    assert Ints.of(rounded(weight, 4, 32)).levels is None


def test_eight_bits_are_even() -> None:
    assert suited(RNG.standard_t(3, size=(8, 32)).astype(np.float32), 8, 32).even


def test_a_table_is_not_worth_it_for_few_numbers() -> None:
    assert suited(RNG.standard_t(3, size=(16, 32)).astype(np.float32), 4, 32).even
