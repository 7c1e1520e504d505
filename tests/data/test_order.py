"""Lines are taken by chance: whatever is sorted by text must not be learnt in that order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcompress.data.order import (
    Order,
    Passes,
    drawn,
    drawn_as_they_lie,
    is_dealt,
    sampled,
    shuffled,
)
from tests.data.numbers import Numbers


@dataclass(frozen=True)
class Drawn(Numbers):
    dealt: ClassVar[bool] = True


@settings(max_examples=30)
@given(st.integers(1, 300), st.integers(0, 2**63), st.integers(0, 5))
def test_an_order_has_every_place_once(size: int, seed: int, turn: int) -> None:
    order = Order(size, seed, turn)
    assert sorted(order[place] for place in range(size)) == list(range(size))


def test_an_order_is_every_machines() -> None:
    text = ",".join(str(Order(1000, 7, 2)[place]) for place in range(1000))
    assert hashlib.sha256(text.encode()).hexdigest()[:12] == "8d22783d663a"


def test_an_order_takes_no_memory_and_no_time_to_begin() -> None:
    places = {Order(10**12)[place] for place in range(50)}
    assert len(places) == 50
    assert max(places) > 10**11


@pytest.mark.parametrize("size", [2, 7, 640, 10_000])
def test_any_first_lines_are_a_sample_of_all(size: int) -> None:
    first, trials = min(50, max(1, size // 10)), 60
    means = [
        np.mean([Order(size, seed)[place] for place in range(first)]) for seed in range(trials)
    ]
    spread = size / np.sqrt(12 * first * trials)
    assert abs(np.mean(means) - (size - 1) / 2) < 4 * spread


def test_what_is_drawn_is_the_same_each_time_and_no_first_lines() -> None:
    source = Numbers(1000)
    assert list(drawn(source, 50)) == list(drawn(source, 400))[:50]
    assert max(drawn(source, 50)) > 500
    assert list(drawn_as_they_lie(source, 50)) == sorted(drawn(source, 50))
    assert drawn_as_they_lie(source, 10**6) == range(1000)
    assert sorted(drawn(source, 10**6)) == list(range(1000))
    assert (sampled(source, 50), sampled(source, 1000)) == (1, None)


def test_rendered_lines_are_by_chance_already() -> None:
    source = Drawn(1000)
    assert is_dealt(source)
    assert drawn(source, 50) == drawn_as_they_lie(source, 50) == range(50)
    assert shuffled(source) is source
    assert [Passes(source, 3).place(at) for at in range(2000)] == 2 * list(range(1000))
    assert sampled(source, 50) is None


def test_each_pass_has_every_line_once_in_another_order() -> None:
    passes = Passes(Numbers(40), 3)
    first, second = ([passes[at].text for at in range(40 * n, 40 * n + 40)] for n in (0, 1))
    assert sorted(first) == sorted(second) == sorted(map(str, range(40)))
    assert len({tuple(first), tuple(second), tuple(sorted(first))}) == 3
    assert first != [Passes(Numbers(40), 4)[at].text for at in range(40)]


def test_a_shuffled_source_is_the_same_data() -> None:
    source = shuffled(Numbers(40))
    assert source.digest == Numbers(40).digest
    assert sorted(source[at].text for at in range(len(source))) == sorted(map(str, range(40)))
    assert shuffled(source) is source
