"""Lines as bad cameras leave them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hcompress.data.image_folder import ImageFolderSource
from hcompress.data.render.rough import RoughLines, roughened


@pytest.fixture
def folder(tmp_path: Path) -> ImageFolderSource:
    rng = np.random.default_rng(0)
    for place, width in enumerate((1, 9, 200)):
        pixels = rng.integers(0, 256, (48, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{place}.png")
    return ImageFolderSource(tmp_path)


def test_the_same_line_twice_and_others_beside_it(folder: ImageFolderSource) -> None:
    one, again, other = RoughLines(folder, 1), RoughLines(folder, 1), RoughLines(folder, 2)
    assert np.array_equal(one[2].image, again[2].image)
    assert not np.array_equal(one[2].image, other[2].image)
    assert one.digest == again.digest != other.digest
    assert len(one) == 3


@pytest.mark.parametrize("width", [1, 2, 9, 640])
def test_any_line_survives(width: int) -> None:
    image = Image.new("RGB", (width, 48), (9, 99, 199))
    for seed in range(60):
        made = roughened(np.random.default_rng(seed), image)
        assert made.mode == "RGB"
        assert made.width >= 4
        assert made.height >= 8


def test_most_lines_change() -> None:
    image = Image.effect_noise((160, 48), 80).convert("RGB")
    made = [roughened(np.random.default_rng(seed), image) for seed in range(40)]
    assert sum(one.size != image.size or one.tobytes() != image.tobytes() for one in made) > 36
