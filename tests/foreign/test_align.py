"""Which frame shows which character: the best path of a label through a model's chances."""

from __future__ import annotations

import numpy as np
import pytest

from hcompress.foreign.align import aligned

BLANK, A, B, C = range(4)


def chances(ids: list[int], sure: float = 0.9) -> np.ndarray:
    made = np.full((len(ids), 4), (1 - sure) / 3, np.float32)
    made[np.arange(len(ids)), ids] = sure
    return made


@pytest.mark.parametrize(
    ("ids", "label", "expected"),
    [
        ([BLANK, A, A, BLANK, B], [A, B], [-1, 0, 0, -1, 1]),
        ([A, BLANK, A], [A, A], [0, -1, 1]),
        ([A, C, B], [A, None, B], [0, 1, 2]),
        ([BLANK, C, BLANK], [None], [-1, 0, -1]),
        ([A, B], [None, None], [0, 1]),
        ([BLANK, BLANK], [], [-1, -1]),
    ],
)
def test_the_best_path(ids: list[int], label: list[int | None], expected: list[int]) -> None:
    found = aligned(chances(ids), BLANK, label)
    assert found is not None
    assert found.tolist() == expected


def test_a_line_of_blanks_shows_what_it_must_somewhere() -> None:
    ids = chances([BLANK] * 5)
    ids[3, BLANK] = 0.8
    found = aligned(ids, BLANK, [None])
    assert found is not None
    assert found.tolist() == [-1, -1, -1, 0, -1]


def test_too_few_frames() -> None:
    assert aligned(chances([A, A]), BLANK, [A, A]) is None
