"""Where the ink of a line is, and which margins are trimmed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hcompress.data.ink import LOW, find_ink, trimmed


def page(height: int = 150, width: int = 400, shade: int = 255) -> NDArray[np.uint8]:
    return np.full((height, width, 3), shade, np.uint8)


def lettered(image: NDArray[np.uint8], top: int, high: int, shade: int = 0) -> NDArray[np.uint8]:
    """Upright bars from column 60 to 300."""
    for left in range(60, 300, 12):
        image[top : top + high, left : left + 4] = shade
    return image


def grain(image: NDArray[np.uint8], level: float) -> NDArray[np.uint8]:
    noise = np.random.default_rng(1).normal(0, level, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_a_blank_page_has_no_ink() -> None:
    shadow = np.linspace(120, 250, 400).astype(np.uint8)[None, :, None] + np.zeros_like(page())
    for blank in (page(), page(shade=0), page(3, 2), grain(page(shade=200), 3), shadow, page(1, 1)):
        assert find_ink(blank) is None
        assert trimmed(blank, None) is blank


@pytest.mark.parametrize(
    ("paper", "shade", "noise"), [(255, 0, 0), (0, 255, 0), (1, 0, 0), (200, 150, 4), (90, 250, 4)]
)
def test_ink_is_found_where_it_stands(paper: int, shade: int, noise: float) -> None:
    image = lettered(page(shade=paper), 60, 30, shade)
    found = find_ink(grain(image, noise) if noise else image)
    assert found is not None
    places = np.array([found.top, found.bottom, found.left, found.right])
    assert np.abs(places - [60, 90, 60, 292]).max() <= 4
    assert found.parts == 1


def test_a_huge_page_is_looked_at_from_afar() -> None:
    found = find_ink(lettered(page(5000, 1500), 3000, 40))
    assert found is not None
    assert abs(found.top - 3000) <= 20
    assert abs(found.bottom - 3040) <= 30


def test_wide_margins_go_and_others_stay() -> None:
    wide = lettered(page(), 60, 30)
    left = trimmed(wide, find_ink(wide))
    assert 0.55 < 30 / left.shape[0] < 0.8
    assert left.shape[1] < 260
    assert (left[:, :, 0] == 0).sum() == (wide[:, :, 0] == 0).sum()
    close = lettered(page(48), 8, int(48 * LOW) + 2)
    assert trimmed(close, find_ink(close)) is close


def test_dashes_and_dots_keep_their_size() -> None:
    dash = page(48, 200)
    dash[22:26, 20:180] = 0
    assert trimmed(dash, find_ink(dash)) is dash
    dot = page(48, 60)
    dot[36:40, 20:24] = 0
    assert trimmed(dot, find_ink(dot)).shape[0] >= 14


def test_in_strong_grain_nothing_is_trimmed() -> None:
    image = grain(lettered(page(shade=90), 60, 30, 250), 14)
    assert find_ink(image) is not None
    assert trimmed(image, find_ink(image)) is image
