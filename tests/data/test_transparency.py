"""Pictures with transparent parts: laid where their ink shows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hcompress.data.images import decode_image

SHAPES = np.zeros((40, 120), bool)
SHAPES[8:32, 10:110:12] = SHAPES[8:32, 11:110:12] = SHAPES[8:32, 12:110:12] = True
"""Nine upright bars, as of letters."""


def saved(pixels: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    held = io.BytesIO()
    image = Image.fromarray(pixels)
    image.save(held, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return held.getvalue()


def cut_out(*shades: int) -> NDArray[np.uint8]:
    """Opaque bars on nothing, of one shade after another."""
    pixels = np.zeros((*SHAPES.shape, 4), np.uint8)
    pixels[..., 3] = 255 * SHAPES
    for number, start in enumerate(range(8, 116, 12)):
        pixels[:, start : start + 12, :3] = shades[number % len(shades)]
    return pixels


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("shades", [(255,), (0,), (235,), (128,), (255, 0), (0, 0, 0, 255)])
def test_every_bar_shows(shades: tuple[int, ...], kind: str) -> None:
    found = decode_image(saved(cut_out(*shades), kind), "x").astype(int)[..., 0]
    ground = found[0, 0]
    assert (np.abs(found[SHAPES] - ground) > 70).all()


def test_what_shows_on_paper_is_laid_on_paper() -> None:
    for shades in ((0,), (90,), (160,)):
        assert decode_image(saved(cut_out(*shades)), "x")[0, 0].tolist() == [255] * 3


def test_a_page_with_a_transparent_border_stays_on_white() -> None:
    page = np.zeros((60, 140, 4), np.uint8)
    page[10:50, 10:130] = 255
    page[10:50, 10:130][SHAPES] = (0, 0, 0, 255)
    found = decode_image(saved(page), "x")
    assert (found[:10] == 255).all()


def test_letters_cut_out_of_a_page_show_as_well() -> None:
    for shade in (255, 0):
        page = np.full((*SHAPES.shape, 4), shade, np.uint8)
        page[..., 3] = 255 * ~SHAPES
        found = decode_image(saved(page), "x")[..., 0].astype(int)
        assert (np.abs(found[SHAPES] - shade) > 70).all()


def test_grey_and_palette_pictures_too() -> None:
    for mode in ("LA", "P"):
        image = Image.fromarray(cut_out(255))
        held = io.BytesIO()
        made = image.quantize() if mode == "P" else image.convert("LA")
        made.save(held, "PNG")
        found = decode_image(held.getvalue(), "x")[..., 0]
        assert found[SHAPES].min() > found[0, 0] + 70


def test_a_grey_that_stands_for_nothing_in_16_bits() -> None:
    grey = np.where(SHAPES, 0, 30_000).astype(np.uint16)
    held = io.BytesIO()
    Image.fromarray(grey).save(held, "PNG", transparency=30_000)
    found = decode_image(held.getvalue(), "x")[..., 0]
    np.testing.assert_array_equal(found, np.where(SHAPES, 0, 255))


def test_a_picture_that_is_as_transparent_everywhere_is_its_colours() -> None:
    page = np.full((*SHAPES.shape, 4), 255, np.uint8)
    page[SHAPES, :3] = 0
    for alpha in (0, 1, 90):
        page[..., 3] = alpha
        found = decode_image(saved(page), "x")[..., 0]
        assert (found[SHAPES] == 0).all()
        assert (found[~SHAPES] == 255).all()


def test_ink_in_the_unused_bytes_of_a_bmp_shows() -> None:
    """Pillow writes RGBA so, and reads three of the four."""
    for shade in (255, 0):
        found = decode_image(saved(cut_out(shade), "BMP"), "x").astype(int)[..., 0]
        assert (np.abs(found[SHAPES] - found[0, 0]) > 70).all()
    opaque = np.dstack([np.repeat(np.where(SHAPES, 0, 255)[..., None], 3, 2), 255 * SHAPES])
    found = decode_image(saved(opaque.astype(np.uint8), "BMP"), "x")[..., 0]
    assert (found == np.where(SHAPES, 0, 255)).all()  # they mean nothing where colours say all
