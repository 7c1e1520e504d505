"""Long lines: where they are cut, and what comes of the pieces."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hcompress.runtime.long_lines import MOST_PIECES, SQUEEZE, joined, pieces, read_lines
from hcompress.runtime.reading import Candidate, Reading
from hcompress.spec.preprocessing import Preprocessing
from hcompress.spec.vocabulary import Vocabulary
from tests.special import EOS, PAD

SIZE = Preprocessing(height=48, width=160)


def bars(width: int, gaps: list[tuple[int, int]], height: int = 48) -> NDArray[np.uint8]:
    """Stripes from top to bottom, but in the gaps, which are white."""
    image = np.full((height, width, 3), 255, np.uint8)
    image[::2] = 0
    for start, end in gaps:
        image[:, start:end] = 255
    return image


def test_a_line_that_fits_is_left_alone() -> None:
    image = bars(int(SQUEEZE * 160), [])
    assert pieces(image, SIZE)[0] is image
    tall = bars(390, [], height=96)
    assert len(pieces(tall, SIZE)) == 1
    odd = np.zeros((0, 5, 3), np.uint8)
    assert pieces(odd, SIZE)[0] is odd


def test_cuts_lie_in_the_middle_of_the_widest_gap_within_reach() -> None:
    image = bars(280, [(40, 70), (90, 94), (130, 142), (158, 170)])
    assert [piece.shape[1] for piece in pieces(image, SIZE)] == [136, 144]
    taller = bars(560, [(180, 188), (260, 284)], height=96)
    assert [piece.shape[1] for piece in pieces(taller, SIZE)] == [272, 288]


@settings(max_examples=60)
@given(st.integers(1, 3000), st.integers(1, 120), st.integers(0, 2**32 - 1))
def test_pieces_are_the_line_and_none_is_too_long(width: int, height: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    found = pieces(image, SIZE)
    np.testing.assert_array_equal(np.concatenate(found, 1), image)
    assert len(found) <= MOST_PIECES
    longest = max(1, int(160 * height / 48), math.ceil(2 * width / MOST_PIECES))
    if len(found) > 1:
        assert all(1 <= piece.shape[1] <= longest for piece in found)


def test_a_strip_of_many_pixels_is_not_cut_without_end() -> None:
    assert len(pieces(np.zeros((1, 100_000, 3), np.uint8), SIZE)) <= MOST_PIECES


def test_texts_are_joined_and_doubts_multiply() -> None:
    def step(character: str) -> list[Candidate]:
        return [Candidate(character=character, confidence=0.5)]

    one, two = Reading("ab", 0.5, [step("a"), step("b")]), Reading("c", 0.25, [step("c")])
    assert joined([one]) is one
    whole = joined([one, Reading("", 1.0, []), two])
    assert (whole.text, whole.confidence) == ("abc", pytest.approx(0.125))
    assert whole.pieces == 3
    assert whole.candidates == [*one.candidates, *two.candidates]


def test_every_image_gets_its_own_pieces_in_order() -> None:
    vocabulary = Vocabulary("0123456789")
    seen: list[int] = []

    def decode(images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Reads the shade of the middle pixel."""
        seen.append(len(images))
        ids = np.full((len(images), 2, 1), PAD)
        ids[:, 0, 0] = images[:, 24, 80, 0] // 25 + 3
        ids[:, 1, 0] = EOS
        return ids, np.full(ids.shape, 0.5, np.float32)

    def shaded(width: int, shade: int) -> NDArray[np.uint8]:
        return np.full((48, width, 3), 25 * shade, np.uint8)

    images = [shaded(170, n % 10) for n in range(40)]
    images[7] = np.concatenate([shaded(230, 1), shaded(230, 2), shaded(200, 3)], 1)
    found = list(read_lines(images, SIZE, decode, vocabulary))
    texts = [reading.text for reading in found]
    assert texts[:7] + texts[8:] == [str(n % 10) for n in range(40) if n != 7]
    assert len(texts[7]) >= 3
    assert all(a <= b for a, b in pairwise(texts[7]))
    assert found[7].confidence == pytest.approx(0.25 ** len(texts[7]))
    assert max(seen) <= 32
