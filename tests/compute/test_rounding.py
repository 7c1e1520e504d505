"""Whole numbers of a scale a group: what is lost, and what is made good."""

from __future__ import annotations

import numpy as np
import pytest

from hcompress.compute.rounding import Rounded, corrected, group_size, rounded
from hcompress.onnx_writer.whole_numbers import Ints

RNG = np.random.default_rng(5)


def floats(made: Rounded) -> np.ndarray:
    return Ints.of(made).floats()


@pytest.mark.parametrize(
    ("columns", "wanted", "size"),
    [(384, 32, 32), (120, 32, 30), (27, 32, 27), (54, 32, 27), (9, 32, 9), (7919, 32, 7919)],
)
def test_groups_divide_the_columns(columns: int, wanted: int, size: int) -> None:
    assert group_size(columns, wanted) == size


@pytest.mark.parametrize("bits", range(2, 9))
def test_numbers_stay_within_their_bits_and_near_the_weights(bits: int) -> None:
    weight = RNG.normal(size=(6, 24)).astype(np.float32)
    made = rounded(weight, bits, 8)
    assert made.values.min() >= -(2 ** (bits - 1))
    assert made.values.max() < 2 ** (bits - 1)
    error = np.square(floats(made) - weight).mean() / np.square(weight).mean()
    assert error < 4.0 ** (1.2 - bits)


def test_rows_alike_have_scales_of_one_unit() -> None:
    weight = RNG.normal(size=(500, 24)).astype(np.float32)
    moment = np.eye(24)
    own, alike = rounded(weight, 3, 24, moment), rounded(weight, 3, 24, moment, alike=True)
    assert alike.units.shape == (1, 1)
    assert Ints.of(own).bytes - Ints.of(alike).bytes == 500 - 2

    def error(made: Rounded) -> float:
        return float(np.square(floats(made) - weight).sum())

    assert error(alike) < 1.01 * error(own)
    weight[7] *= 1e-3  # too fine for a unit that does for the others
    assert rounded(weight, 3, 24, moment, alike=True).units.shape == (500, 1)


def test_errors_are_made_good_by_what_is_rounded_later() -> None:
    """With inputs that hang together the output's error falls to a fraction."""
    mixed = RNG.normal(size=(32, 8)) @ RNG.normal(size=(8, 32)) / 3
    inputs = RNG.normal(size=(4000, 32)) @ (mixed + 0.1 * np.eye(32))
    moment = inputs.T @ inputs
    weight = RNG.normal(size=(16, 32)).astype(np.float32)

    def error(made: np.ndarray) -> float:
        apart = made - weight
        return float(np.trace(apart @ moment @ apart.T))

    plain = error(floats(rounded(weight, 4, 16)))
    weighed = error(floats(rounded(weight, 4, 16, np.diagonal(moment).copy())))
    good = error(floats(rounded(weight, 4, 16, moment)))
    assert good < 0.5 * plain
    assert good < 0.5 * weighed


def test_nothing_but_zeros_stays_zero() -> None:
    made = rounded(np.zeros((3, 8), np.float32), 4, 8, np.zeros((8, 8)))
    assert not floats(made).any()
    assert np.isfinite(made.units).all()
    assert made.units.all()


def test_an_input_that_never_varied_does_no_harm() -> None:
    moment = np.diag([1.0] * 7 + [0.0])
    weight = RNG.normal(size=(4, 8)).astype(np.float32)
    # It takes what the others are off by, as no output of these lines shows; never more.
    apart = np.abs(floats(rounded(weight, 8, 8, moment)) - weight)
    assert apart[:, :7].max() < 0.05
    assert apart.max() < 0.5


def test_changed_inputs_are_made_good_before_rounding() -> None:
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(6, 12)).astype(np.float32)
    x = rng.normal(size=(400, 12))
    moved = x @ (np.eye(12) + 0.3 * rng.normal(size=(12, 12)))  # what has an inverse can be undone
    found = corrected(weight, moved.T @ moved, x.T @ moved)

    def error(made: np.ndarray) -> float:
        return float(np.square(x @ weight.T - moved @ made.T).mean())

    assert error(found) < 0.2 * error(weight)


def test_inputs_that_did_not_change_leave_the_weight() -> None:
    rng = np.random.default_rng(4)
    weight = rng.normal(size=(3, 8)).astype(np.float32)
    x = rng.normal(size=(50, 8))
    np.testing.assert_allclose(corrected(weight, x.T @ x, x.T @ x), weight, atol=1e-5)
