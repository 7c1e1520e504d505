"""A classifier taught its user's lines: what it learns, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from hcompress.errors import InputRefused
from hcompress.progress import NoProgress
from hcompress.training.adapt import Adapted, Lesson, Pace, adapted

RNG = np.random.default_rng(2)
CLASSES, WIDTH, BLANK = 30, 12, 0
LOOKS = RNG.normal(size=(CLASSES, WIDTH)).astype(np.float32) * 3
WEIGHT = LOOKS.copy()
BIAS = -0.5 * np.square(LOOKS).sum(1)
SWAPPED = WEIGHT.copy()
SWAPPED[[3, 4, 5]] = WEIGHT[[4, 5, 3]]
"""As if three characters had been learnt one for another."""


def line(ids: tuple[int, ...]) -> Lesson:
    """Two frames a character and a blank between, a little noise."""
    frames = [LOOKS[i] for one in ids for i in (one, one, BLANK)]
    noise = RNG.normal(size=(len(frames), WIDTH)) * 0.1
    return Lesson((np.array(frames) + noise).astype(np.float32), ids)


def lines(low: int, high: int, count: int) -> list[Lesson]:
    return [line(tuple(RNG.integers(low, high, 4).tolist())) for _ in range(count)]


def taught(lessons: list[Lesson], hold: float = 1.0) -> Adapted:
    other = np.concatenate([one.features for one in lines(6, CLASSES, 40)])
    pace = Pace(60, 8, 0.3, hold, 1)
    bias = (-0.5 * np.square(SWAPPED).sum(1)).astype(np.float32)
    return adapted(SWAPPED, bias, BLANK, lessons, other, pace, NoProgress())


def test_it_learns_what_the_labels_say_and_leaves_the_others() -> None:
    made = taught(lines(1, 6, 60))
    assert made.figures["read_before"] < 0.2
    assert made.figures["read_after"] > 0.8
    assert made.figures["others_kept"] > 0.97
    assert made.figures["kept"]
    moved = np.flatnonzero(np.abs(made.weight - SWAPPED).max(1))
    assert set(moved.tolist()) <= {0, 1, 2, 3, 4, 5}


def test_what_gains_nothing_is_thrown_away() -> None:
    made = taught(lines(8, 12, 30))
    assert made.figures["read_before"] == 1
    assert not made.figures["kept"]
    assert made.weight is SWAPPED


def test_lines_too_short_for_their_labels_are_left_out() -> None:
    short = Lesson(np.zeros((3, WIDTH), np.float32), (1, 1, 2))
    assert not short.fits
    assert Lesson(np.zeros((4, WIDTH), np.float32), (1, 1, 2)).fits
    assert taught([*lines(1, 6, 30), short]).figures["left_out"] == 1
    with pytest.raises(InputRefused, match="has a label that its frames have room for"):
        taught([short])


def test_the_same_seed_gives_the_same_numbers() -> None:
    lessons = lines(1, 6, 30)
    pace = Pace(3, 8, 0.05, 1.0, 5)
    one, again = (
        adapted(SWAPPED, BIAS.astype(np.float32), BLANK, lessons, LOOKS, pace, NoProgress())
        for _ in range(2)
    )
    np.testing.assert_array_equal(one.weight, again.weight)


def test_nothing_need_be_held() -> None:
    pace = Pace(3, 8, 0.05, 0.0, 5)
    none = np.zeros((0, WIDTH), np.float32)
    made = adapted(
        SWAPPED, BIAS.astype(np.float32), BLANK, lines(1, 6, 30), none, pace, NoProgress()
    )
    assert made.figures["others_kept"] is None
