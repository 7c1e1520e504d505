"""Bits go where they save most."""

from __future__ import annotations

import pytest

from hcompress.compute.bit_shares import LEAST, MOST, Weighed, bit_shares

WEIGHTS = {
    "sturdy": Weighed(1000, 0.01),
    "tender": Weighed(1000, 10.0),
    "small": Weighed(10, 0.5),
}


@pytest.mark.parametrize("mean", [3.0, 3.7, 4.5, 6.0, 8.0])
def test_the_mean_is_kept_and_nearly_used_up(mean: float) -> None:
    bits = bit_shares(WEIGHTS, 4, mean)
    numbers = sum(one.numbers for one in WEIGHTS.values())
    spent = sum(one.numbers * bits[name] for name, one in WEIGHTS.items())
    assert mean * numbers - 1000 < spent <= mean * numbers
    assert all(LEAST <= one <= MOST for one in bits.values())


def test_what_suffers_gets_more() -> None:
    bits = bit_shares(WEIGHTS, 4, 4.5)
    assert bits["small"] >= bits["tender"] > bits["sturdy"]


def test_one_bit_is_worth_four_times_the_harm() -> None:
    pair = {"one": Weighed(100, 4.0), "other": Weighed(100, 1.0)}
    assert bit_shares(pair, 5, 4.5) == {"one": 5, "other": 4}
    assert bit_shares(pair, 5, 5.5) == {"one": 6, "other": 5}


def test_ties_go_by_name() -> None:
    pair = {"b": Weighed(100, 1.0), "a": Weighed(100, 1.0)}
    assert bit_shares(pair, 4, 4.5) == {"a": 5, "b": 4}
