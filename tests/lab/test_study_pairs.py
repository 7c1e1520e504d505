"""The paired interval against references, and what must hold of it whatever was read."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcompress.lab.study.pairs import averaged, paired_difference
from hcompress.lab.study.result import trained

SHARES = st.sampled_from([0.0, 1 / 3, 2 / 3, 1.0])
PAIRS = st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=60)


def test_seeds_are_averaged_by_line() -> None:
    assert averaged([[True, False, True], [True, False, False]]) == [1.0, 0.0, 0.5]
    assert averaged([[True, False]]) == [1.0, 0.0]


@pytest.mark.parametrize(("both", "lost", "won", "neither"), [(900, 40, 60, 0), (50, 0, 3, 7)])
def test_with_one_seed_it_is_mcnemars_table(both: int, lost: int, won: int, neither: int) -> None:
    before = [1.0] * (both + lost) + [0.0] * (won + neither)
    after = [1.0] * both + [0.0] * lost + [1.0] * won + [0.0] * neither
    count = both + lost + won + neither
    found = paired_difference(before, after)
    variance = (won + lost - (won - lost) ** 2 / count) / (count - 1)
    half = 1.959964 * math.sqrt(variance / count)
    assert found["change"] == pytest.approx(100 * (won - lost) / count)
    assert found["change_high"] - found["change"] == pytest.approx(100 * half)


def test_it_agrees_with_the_paired_bootstrap() -> None:
    random = np.random.default_rng(7)
    before = random.integers(0, 4, 2000) / 3
    after = np.clip(before + random.choice([-1 / 3, 0, 0, 0, 0, 1 / 3, 1 / 3], 2000), 0, 1)
    found = paired_difference(before.tolist(), after.tolist())
    drawn = random.integers(0, 2000, (4000, 2000))
    means = 100 * (after - before)[drawn].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    assert found["change_low"] == pytest.approx(low, abs=0.08)
    assert found["change_high"] == pytest.approx(high, abs=0.08)


@given(st.lists(SHARES, min_size=1, max_size=60))
def test_identical_answers_differ_by_nothing(shares: list[float]) -> None:
    assert set(paired_difference(shares, shares).values()) == {0.0}


@given(PAIRS)
def test_swapped_sides_swap_signs(pairs: list[tuple[float, float]]) -> None:
    before, after = zip(*pairs, strict=True)
    there, back = paired_difference(before, after), paired_difference(after, before)
    assert there["change"] == -back["change"]
    assert there["change_low"] == -back["change_high"]
    assert -100 <= there["change_low"] <= there["change"] <= there["change_high"] <= 100


def test_images_are_counted_where_steps_were_taken() -> None:
    phase = {"steps": 3, "images": 96}
    assert trained({**phase, "curve": [{"step": 1}]}) == 96
    assert trained({"glyphs": phase, "lines": {**phase, "images": 4}}) == 100
    assert trained({"images": 4096}) == 0  # looked at, not learnt from
    assert trained({"steps": None, "images": True}) == 0
