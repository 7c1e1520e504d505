"""How images go into recognisers that came as checkpoints."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hcompress.errors import InputRefused
from hcompress.foreign.batches import windows
from hcompress.foreign.inputs import PREPROCESSINGS, Size, prepared, size_of, widened
from hcompress.spec.foreign import Answers, ForeignSpec
from hcompress.spec.foreign_header import spec_from_dict, spec_to_dict

KHMER, EASYOCR, DOCTR = (PREPROCESSINGS[one] for one in ("khmer-ocr-ocm", "easyocr", "doctr"))
RNG = np.random.default_rng(3)
PICTURE = RNG.integers(0, 256, (37, 90, 3), np.uint8)


def test_khmer_lines_are_drawn_out_as_pillow_draws_grey_levels() -> None:
    grey = Image.fromarray(PICTURE).convert("L").resize((512, 48), Image.Resampling.BILINEAR)
    expected = (np.asarray(grey, np.float32) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(prepared(PICTURE, KHMER), expected[None], atol=1e-6)
    for shape in ((10, 9000), (900, 10)):
        assert size_of(shape, KHMER) == Size(512, 512)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((64, 64), Size(64, 64)), ((64, 10), Size(10, 64)), ((64, 65), Size(65, 128)),
        ((32, 100), Size(200, 256)), ((64, 9000), Size(8192, 8192)),
    ],
)  # fmt: skip
def test_easyocr_pads_to_whole_times_its_height(shape: tuple[int, int], size: Size) -> None:
    assert size_of(shape, EASYOCR) == size


def test_easyocr_repeats_the_last_column() -> None:
    line = prepared(PICTURE, EASYOCR)
    width = size_of(PICTURE.shape, EASYOCR).width
    assert line.shape == (1, 64, 192)
    np.testing.assert_array_equal(
        line[:, :, width:], np.repeat(line[:, :, width - 1 : width], 36, 2)
    )


def test_doctr_pads_colours_on_the_right() -> None:
    line = prepared(PICTURE, DOCTR)
    assert line.shape == (3, 32, 128)
    assert set(line[:, :, 78:].ravel().tolist()) == {np.float32(DOCTR.padding)}
    small = Image.fromarray(PICTURE).resize((78, 32), Image.Resampling.BILINEAR)
    red = (np.asarray(small, np.float32)[:, :, 0] / 255 - 0.694) / 0.299
    np.testing.assert_allclose(line[0, :, :78], red, atol=1e-6)


def test_windows_are_padded_as_lines_are() -> None:
    source: Any = [SimpleNamespace(image=PICTURE), SimpleNamespace(image=PICTURE[:, :20])]
    made = windows(source, [0, 1], EASYOCR, 320, 7)
    assert made.shape == (2, 1, 64, 192)
    np.testing.assert_array_equal(made[1][:, :, 64:], np.repeat(made[1][:, :, 63:64], 128, 2))
    assert windows(source, [0, 1], KHMER, 320, 7).shape == (2, 1, 48, 512)
    line = np.ones((1, 2, 3), np.float32)
    assert widened(line, 5, replace(EASYOCR, repeats_edge=False, padding=7.0))[0, 0, -1] == 7


def test_stretched_images_have_one_width() -> None:
    with pytest.raises(InputRefused, match="have one width"):
        replace(KHMER, minimum_width=100)
    with pytest.raises(InputRefused, match="have one width"):
        replace(EASYOCR, stretched=True)


@pytest.mark.parametrize("image", [KHMER, EASYOCR, DOCTR])
def test_headers_say_it_all(image: Any) -> None:
    spec = ForeignSpec(("", "a"), 0, Answers.LOGITS, False, image, "x", "y")
    assert spec_from_dict(spec_to_dict(spec), None, "here") == spec
