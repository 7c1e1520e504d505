"""Cuts of long lines fall between characters, also where a character has a gap of its own."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from hcompress.runtime.long_lines import pieces
from hcompress.spec.preprocessing import Preprocessing

SIZE = Preprocessing(height=48, width=160)
PITCH = 32
SHAPES = {
    "whole": [(2, 30)],
    "two": [(2, 10), (22, 30)],  # a gap of 12 inside, of 4 beside
    "three": [(3, 7), (14, 18), (25, 29)],
    "digit": [(2, 15)],
}


def drawn(kinds: list[str], noise: float = 0) -> tuple[NDArray[np.uint8], list[float]]:
    """A line of shapes, and the middles of the gaps between its characters."""
    width = sum(16 if kind == "digit" else PITCH for kind in kinds)
    image = np.full((46, width + 16, 3), 230, np.uint8)
    left, ends = 8, []
    for kind in kinds:
        for start, end in SHAPES[kind]:
            image[8:38, left + start : left + end] = 40
        left += 16 if kind == "digit" else PITCH
        ends.append(float(left))
    if noise:
        grain = np.random.default_rng(1).normal(0, noise, image.shape)
        image = np.clip(image + grain, 0, 255).astype(np.uint8)
    return image, ends


def off(image: NDArray[np.uint8], ends: list[float]) -> float:
    """How far the worst cut is from the end of a character."""
    found = np.cumsum([piece.shape[1] for piece in pieces(image, SIZE)])[:-1]
    assert len(found)
    return float(max(min(abs(cut - end) for end in ends) for cut in found))


@pytest.mark.parametrize("noise", [0, 8])
@pytest.mark.parametrize(
    "kinds", [["two"], ["three"], ["whole", "two"], ["whole", "whole", "three"], ["two", "three"]]
)
def test_no_character_in_parts_is_cut(kinds: list[str], noise: float) -> None:
    draw = random.Random(4)
    for length in (9, 16, 30):
        line = [draw.choice(kinds) for _ in range(length)]
        assert off(*drawn(line, noise)) <= 4, line


def test_few_are_cut_among_digits() -> None:
    """Where the pitch changes all the time, shapes too wide for one character are cut between."""
    draw = random.Random(6)
    worst = []
    for _ in range(20):
        line = [
            kind
            for _ in range(6)
            for kind in [*draw.choices(["whole", "two"], k=4), *["digit"] * draw.randint(1, 5)]
        ]
        worst.append(off(*drawn(line)) > 4)
    assert sum(worst) <= 8


def test_work_does_not_grow_with_the_pixels() -> None:
    started = time.process_time()
    for height, width in ((1, 100_000), (48, 40_000), (1000, 12_000)):
        image = np.full((height, width, 3), 255, np.uint8)
        image[height // 8 : -(height // 8) or None, ::20] = 0
        assert len(pieces(image, SIZE)) > 1
    assert time.process_time() - started < 20
