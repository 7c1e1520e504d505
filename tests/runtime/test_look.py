"""What an image shows before it is read: ink that an empty text denies, and columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hcompress.evaluation.pair import FrameReader
from hcompress.runtime.foreign_reader import ForeignReader
from hcompress.runtime.long_lines import read_lines
from hcompress.runtime.look import EMPTY_MOST, TURN, judged, look
from hcompress.runtime.reading import Reading
from hcompress.spec.preprocessing import Preprocessing
from hcompress.spec.vocabulary import Vocabulary
from tests.foreign.builders import recogniser, saved
from tests.special import EOS

SIZE = Preprocessing(height=48, width=160)


def page(height: int, width: int, *marks: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    image = np.full((height, width, 3), 255, np.uint8)
    for top, bottom, left, right in marks:
        image[top:bottom, left:right] = 0
    return image


INKED = page(48, 160, (10, 40, 20, 24), (10, 40, 60, 64))


def test_an_empty_text_is_not_sure_of_ink() -> None:
    empty = Reading("", 0.999, [])
    assert judged(empty, look(INKED)).confidence == EMPTY_MOST
    assert judged(Reading(" \t", 0.999, []), look(INKED)).confidence == EMPTY_MOST
    assert judged(empty, look(page(48, 160))) is empty
    sure = Reading("ll", 0.9, [])
    assert judged(sure, look(INKED)) is sure


def test_a_column_is_remarked_on() -> None:
    column = page(200, 40, *((top, top + 30, 5, 35) for top in range(5, 190, 40)))
    for text in ("", "a", "ab"):
        assert judged(Reading(text, 0.9, []), look(column)).remark == TURN
    on_its_side = page(40, 300, (5, 35, 40, 44), (10, 20, 60, 90))
    assert judged(Reading("ab", 0.9, []), look(on_its_side)).remark == ""
    assert judged(Reading("ab", 0.9, []), look(np.rot90(on_its_side).copy())).remark == TURN
    assert judged(Reading("l", 0.9, []), look(page(40, 12, (5, 35, 4, 8)))).remark == ""
    margins = page(300, 100, (100, 130, 20, 26), (100, 130, 60, 66))
    assert judged(Reading("ll", 0.9, []), look(margins)).remark == ""


def test_our_readers_look_and_theirs_too(tmp_path: Path) -> None:

    def nothing(images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        ids = np.full((len(images), 1, 1), EOS)
        return ids, np.ones(ids.shape, np.float32)

    blank = page(48, 160)
    ours = list(read_lines([INKED, blank], SIZE, nothing, Vocabulary("ab")))
    assert [one.confidence for one in ours] == [EMPTY_MOST, 1.0]
    reader = ForeignReader(saved(recogniser(), tmp_path))
    for one in (reader, FrameReader(reader)):
        theirs = one.read([INKED, blank])
        assert [(one.text, one.confidence) for one in theirs] == [("", EMPTY_MOST), ("", 1.0)]


def test_what_is_no_uint8_picture_is_refused() -> None:
    whole = np.zeros((48, 160, 3), np.uint8)
    odd = (
        whole.astype(np.uint16), whole.astype(bool), whole.astype(np.int8), whole[..., 0],
        whole[:0], whole[..., :1], whole[..., 0] / 255,
    )  # fmt: skip
    for image in odd:
        with pytest.raises(ValueError, match=r"an image must be uint8, height x width x 3"):
            look(image)  # type: ignore[arg-type]
