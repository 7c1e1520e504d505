"""Images in every form that callers have them in: the same pixels, or an error, never a blank."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from hcompress.data.given import check_several, pixels_of
from hcompress.errors import InputRefused, UsageError

PIXELS = np.random.default_rng(1).integers(0, 256, (16, 40, 3), np.uint8)


def test_all_forms_are_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    data = path.read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    given = [PIXELS, Image.fromarray(PIXELS), Image.open(path), data, path, str(path), "-"]
    for image in [*given, PIXELS / 255, (PIXELS / 255).astype(np.float32)]:
        np.testing.assert_array_equal(pixels_of(image), PIXELS)
    half = pixels_of((PIXELS / 255).astype(np.float16))
    assert int(np.abs(half.astype(int) - PIXELS).max()) <= 1


def test_images_of_pillow_keep_their_meaning() -> None:
    turned = Image.fromarray(PIXELS)
    file = io.BytesIO()
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(file, "PNG", exif=exif)
    opened = Image.open(file)
    assert pixels_of(opened).shape == (40, 16, 3)
    assert opened.size == (40, 16)  # as it was
    grey = Image.fromarray(PIXELS[..., 0])
    for one in (grey, Image.fromarray(PIXELS[..., 0] / np.float32(255))):
        np.testing.assert_allclose(pixels_of(one)[..., 0].astype(int), PIXELS[..., 0], atol=1)
    ink = Image.new("RGBA", (40, 16), (0, 0, 0, 0))
    ink.paste((0, 0, 0, 255), (5, 5, 20, 10))
    assert pixels_of(ink).min() == 0
    assert pixels_of(ink).max() > 100  # not black on black


@pytest.mark.parametrize(
    "image",
    [
        PIXELS.astype(np.float32),
        PIXELS / 127.5 - 1,
        np.full((16, 40, 3), np.nan),
        np.full((16, 40, 3), np.inf),
        PIXELS.astype(np.int64),
        PIXELS[..., 0] / 255,
        np.zeros((0, 40, 3)),
        3,
        None,
    ],
)
def test_what_cannot_be_told_is_refused(image: object) -> None:
    with pytest.raises(ValueError, match="an image"):
        pixels_of(image)  # type: ignore[arg-type]


def test_files_and_pillow_refuse_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such image file"):
        pixels_of(tmp_path / "none.png")
    for image in (b"no image", Image.fromarray(PIXELS[..., 0].astype(np.float32))):
        with pytest.raises(InputRefused, match="not a readable image"):
            pixels_of(image)
    remarks: list[str] = []
    pages = io.BytesIO()
    one = Image.fromarray(PIXELS)
    one.save(pages, "TIFF", save_all=True, append_images=[one])
    pixels_of(pages.getvalue(), remarks.append)
    assert remarks == ["holds more than one picture, of which the first was read"]


@pytest.mark.parametrize("image", [PIXELS, "a.png", Path("a.png"), b"x", Image.fromarray(PIXELS)])
def test_one_image_is_not_several(image: object) -> None:
    with pytest.raises(ValueError, match="give a list"):
        check_several(image)
    check_several([image])
    check_several(PIXELS[None])
