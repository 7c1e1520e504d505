"""The probability of a text over all its paths."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest

from hcompress.runtime.likelihood import text_chance


@pytest.mark.parametrize("label", [[], [1], [1, 2], [1, 1], [2, 1, 2]])
def test_it_is_the_sum_over_all_paths(label: list[int]) -> None:
    chances = np.random.default_rng(2).dirichlet(np.ones(3), 5).astype(np.float32)
    ids = np.tile(np.arange(3), (5, 1))
    expected = sum(
        float(np.prod([chances[step, i] for step, i in enumerate(path)]))
        for path in product(range(3), repeat=5)
        if [key for key, _ in groupby(path) if key] == label
    )
    assert text_chance(ids, chances, label, 0) == pytest.approx(expected)


def test_what_is_no_candidate_is_impossible() -> None:
    ids = np.array([[1, 0], [0, 1], [2, 0]])
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]], np.float32)
    assert text_chance(ids, chances, [1, 2], 0) == pytest.approx(0.9 * 0.6 + 0.1 * 0.2 * 0.6)
    assert text_chance(ids, chances, [3], 0) == 0
