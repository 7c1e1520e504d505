"""What is kept of another's answers: frames in their places, characters wherever they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from hcompress.foreign.inputs import PREPROCESSINGS
from hcompress.foreign.kept import Answers, Counts, kept
from hcompress.spec.foreign import Answers as Output
from hcompress.spec.foreign import ForeignSpec

LETTERS = tuple("abcdefghij")
SPEC = ForeignSpec(
    ("", *LETTERS, "龘"), 0, Output.PROBABILITIES, False, PREPROCESSINGS["ppocr"], "ppocr", "here"
)
"""Ten letters that everybody trains on, and 龘, class 11."""


def answers(*lines: Sequence[int], sure: Sequence[float] | None = None) -> Answers:
    ids = np.concatenate([np.array(line, np.int64) for line in lines])
    chances = np.ones(len(ids), np.float32) if sure is None else np.array(sure, np.float32)
    return Answers(ids, chances, tuple(map(len, lines)))


def test_what_does_not_change_is_kept() -> None:
    same = answers([0, 1, 1, 0, 11], [2, 0])
    found = kept(same, same, SPEC)
    assert found.counts == Counts(
        lines=2, frames=4, sure_frames=4, rare_frames=1, sure_characters=3
    )
    shares = (found.same_text, found.frames, found.sure_frames, found.rare_frames)
    assert (*shares, found.sure_characters) == (1, 1, 1, 1, 1)


def test_a_character_that_moves_by_a_frame_is_lost_as_a_frame_alone() -> None:
    found = kept(answers([0, 1, 0, 0, 2, 0]), answers([0, 0, 1, 0, 2, 0]), SPEC)
    assert (found.same_text, found.sure_characters) == (1, 1)
    assert (found.frames, found.sure_frames) == (0.5, 0.5)


def test_a_character_is_read_if_it_stands_in_the_text() -> None:
    before = answers([1, 0, 2, 0, 3, 0])
    for after, share in (
        ([1, 2, 2, 0, 0, 3], 1),  # moved, and longer
        ([1, 0, 4, 0, 3, 0], 2 / 3),  # another in its place
        ([1, 0, 0, 0, 3, 0], 2 / 3),  # gone
        ([1, 4, 2, 0, 3, 5], 1),  # more than there was
        ([3, 0, 2, 0, 1, 0], 1 / 3),  # out of order
        ([0] * 6, 0),
    ):
        assert kept(before, answers(after), SPEC).sure_characters == pytest.approx(share), after


def test_repeats_with_a_blank_between_are_two_and_lines_end() -> None:
    before = answers([1, 0, 1], [1, 0, 0])
    assert before.characters(0)[0][0].tolist() == [1, 1]
    assert before.characters(0)[1][0].tolist() == [1]
    found = kept(before, answers([1, 1, 1], [1, 0, 0]), SPEC)
    assert found.sure_characters == pytest.approx(2 / 3)


def test_a_character_is_sure_with_its_surest_frame() -> None:
    before = answers([1, 1, 2, 2, 0, 3], sure=[0.5, 0.95, 0.9, 0.6, 1, 0.91])
    after = answers([0, 1, 0, 0, 0, 0])
    found = kept(before, after, SPEC)
    assert (found.counts.frames, found.counts.sure_frames) == (5, 2)
    assert found.counts.sure_characters == 2  # b has 0.9, which is not above it
    assert found.sure_characters == 0.5
    assert (found.frames, found.sure_frames) == (0.2, 0.5)


def test_there_may_be_nothing_of_the_kind() -> None:
    found = kept(answers([0, 0], [0]), answers([0, 1], [0]), SPEC)
    assert (found.frames, found.sure_frames, found.rare_frames) == (None, None, None)
    assert found.sure_characters is None
    assert found.same_text == 0.5
    empty = kept(answers([], [1]), answers([], [1]), SPEC)
    assert (empty.same_text, empty.frames, empty.sure_characters) == (1, 1, 1)


def test_with_other_numbers_of_frames_texts_and_characters_are_left() -> None:
    found = kept(answers([1, 0, 2, 0]), answers([1, 2]), SPEC)
    assert (found.frames, found.sure_frames, found.rare_frames) == (None, None, None)
    assert (found.same_text, found.sure_characters) == (1, 1)


def test_blank_may_be_last() -> None:
    spec = replace(SPEC, classes=(*LETTERS, ""), blank=10)
    found = kept(answers([0, 10, 1]), answers([0, 10, 2]), spec)
    assert (found.frames, found.sure_characters) == (0.5, 0.5)
