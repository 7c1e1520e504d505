"""Plates and signs as calibration lines."""

from __future__ import annotations

import numpy as np
import pytest

from hcompress.data.render.calibration import calibration_lines
from hcompress.data.render.draw import HEIGHT
from hcompress.data.render.plates import DIGITS, LETTERS, PlateLines
from hcompress.errors import InputRefused

KNOWN = tuple(LETTERS + DIGITS + "·京皖")


def test_the_same_plate_twice_and_others_beside_it() -> None:
    one, again, other = (PlateLines(KNOWN, 9, seed) for seed in (1, 1, 2))
    assert len(one) == 9
    assert np.array_equal(one[4].image, again[4].image)
    assert one[4].text == again[4].text
    assert one[4].text != other[4].text
    assert one.digest == again.digest != other.digest
    with pytest.raises(IndexError):
        one[9]


def test_a_plate_is_in_colour_and_of_the_models_characters() -> None:
    lines = [PlateLines(KNOWN, 40, 3)[index] for index in range(40)]
    assert all(line.image.shape[0] == HEIGHT and line.image.shape[2] == 3 for line in lines)
    assert {c for line in lines for c in line.text} <= set(KNOWN)
    assert sum(line.text[0] in "京皖" for line in lines) > 10
    spread = [int(np.ptp(line.image.reshape(-1, 3).mean(0))) for line in lines]
    assert sum(one > 40 for one in spread) > 10


def test_a_model_without_a_province_gets_codes_alone() -> None:
    lines = PlateLines(tuple(LETTERS + DIGITS), 20, 3)
    assert all(set(lines[index].text) <= set(LETTERS + DIGITS) for index in range(20))


def test_a_model_without_letters_gets_no_plates() -> None:
    with pytest.raises(InputRefused, match="letters and digits"):
        PlateLines(tuple(DIGITS), 4, 1)
    drawn = calibration_lines(tuple(DIGITS), 8, 1)
    assert {c for index in range(8) for c in drawn[index].text} <= set(DIGITS)
    plates = calibration_lines(KNOWN, 8, 1)
    assert plates[3].text == PlateLines(KNOWN, 8, 3)[0].text
