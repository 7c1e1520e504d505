"""Bits go where answers are."""

from __future__ import annotations

import numpy as np
import pytest

from hcompress.heads.encodings.by_use import LEVELS, bits_by_use, fit_by_use
from hcompress.onnx_writer.merged import Merged

RNG = np.random.default_rng(5)
SHARES = np.exp(RNG.normal(size=500) * 4)
SHARES[100:400] = 0


@pytest.mark.parametrize("mean", [2.0, 2.5, 3.0, 3.5, 4.0, 6.3, 8.0])
def test_the_mean_is_what_is_asked_for(mean: float) -> None:
    bits = bits_by_use(SHARES, mean)
    assert set(bits.tolist()) <= set(LEVELS)
    assert bits.mean() <= mean
    assert bits.mean() == pytest.approx(mean, abs=0.01)


def test_who_is_answered_more_has_no_fewer() -> None:
    bits = bits_by_use(SHARES, 3.3)
    assert (np.diff(bits[np.argsort(-SHARES, kind="stable")]) <= 0).all()
    assert np.ptp(bits[100:400]) <= 1, "of equal shares the first alone have one more"


def test_four_times_the_share_is_a_bit() -> None:
    shares = 4.0 ** np.arange(5)
    np.testing.assert_array_equal(bits_by_use(shares, 4.0), [2, 3, 4, 5, 6])


def test_rows_keep_their_places() -> None:
    weight = RNG.normal(size=(500, 16)).astype(np.float32)
    made = fit_by_use(weight, np.eye(16), SHARES, 3.5)
    assert isinstance(made, Merged)
    errors = np.square(made.floats() - weight).mean(1)
    bits = bits_by_use(SHARES, 3.5)
    by_level = [errors[bits == level].mean() for level in LEVELS if (bits == level).any()]
    assert by_level == sorted(by_level, reverse=True)
    assert by_level[0] < 0.3
    some = np.array([0, 3, 150, 151, 499])
    np.testing.assert_array_equal(made.take(some).floats(), made.floats()[some])
    alike = np.flatnonzero(bits == bits[150])
    assert not isinstance(made.take(alike), Merged)


def test_equal_shares_are_stored_alike() -> None:
    weight = RNG.normal(size=(40, 8)).astype(np.float32)
    assert not isinstance(fit_by_use(weight, np.eye(8), np.ones(40), 4.0), Merged)
