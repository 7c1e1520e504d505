"""From ink to a photograph: colours, ground, light, and what a bad camera does to them."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.data.render.spec import Degradation

    Pixels = NDArray[np.float32]


def photograph(
    rng: np.random.Generator, ink: Image.Image, degradation: Degradation, sharpness: float
) -> NDArray[np.uint8]:
    """rows x columns x 3 (RGB) from ink (mode L).

    ``sharpness`` in 0 to 1 scales down all that costs resolution: narrow characters stand less.
    """
    contrast = _contrast(rng, degradation.low_contrast)
    dark, light = _levels(rng, contrast)
    # Paper more often than signs.
    ground, text = (light, dark) if rng.random() < 0.6 else (dark, light)
    ground_colour = _tinted(rng, ground, degradation.colour)
    text_colour = _tinted(rng, text, degradation.colour)
    shape = (ink.size[1], ink.size[0])
    # The lens acts on the ink alone, a third of the pixels: the ground is soft already.
    soft = np.asarray(_soften(rng, ink, degradation, sharpness), dtype=np.float32)
    soft *= np.float32(1 / 255)
    # 3 x rows x columns up to here and below: numpy is slow where the last axis has 3 entries.
    image = soft * (text_colour - ground_colour)[:, None, None] + ground_colour[:, None, None]
    if rng.random() < degradation.clutter:
        image += _ground(rng, shape, contrast, degradation.clutter) * (1 - soft)
    if rng.random() < degradation.uneven_light:
        # Where both clip to white, nothing is left to read: keep a third of the contrast.
        most = (255 - 0.3 * contrast) / max(1.0, dark) - 1
        image *= _light(rng, shape, degradation.uneven_light, most)
    if rng.random() < degradation.noise:
        image += _grain(rng, image.shape, degradation.noise, contrast)
    np.rint(image, out=image)
    np.clip(image, 0, 255, out=image)
    photo = np.ascontiguousarray(image.astype(np.uint8).transpose(1, 2, 0))
    if rng.random() < degradation.jpeg:
        return _compressed(rng, photo, degradation.jpeg)
    return photo


def _contrast(rng: np.random.Generator, strength: float) -> float:
    """Grey levels between text and ground."""
    if rng.random() < strength:
        return float(rng.uniform(110 - 75 * strength, 110))
    return float(rng.uniform(110, 230))


def _levels(rng: np.random.Generator, contrast: float) -> tuple[float, float]:
    dark = float(rng.uniform(0, 255 - contrast))
    return dark, dark + contrast


def _tinted(rng: np.random.Generator, level: float, strength: float) -> Pixels:
    """A colour of the given luma: grey, or with a tint that leaves the luma as it is."""
    if rng.random() >= strength:
        return np.full(3, level, np.float32)
    tint = rng.uniform(-90, 90, 3)
    red, green, blue = (float(part) for part in tint)
    colour = tint + (level - (0.299 * red + 0.587 * green + 0.114 * blue))
    return np.clip(colour, 0, 255).astype(np.float32)


def _smooth(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> Pixels:
    """rows x columns in -1 to 1: a few random cells, drawn out softly."""
    grid = rng.uniform(-1, 1, cells).astype(np.float32)
    drawn = Image.fromarray(grid).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(drawn, dtype=np.float32)


def _ground(
    rng: np.random.Generator, shape: tuple[int, int], contrast: float, strength: float
) -> Pixels:
    """rows x columns of grey levels to add to the ground: texture, strokes and edges.

    Never more than a part of the contrast, or the strokes would be read.
    """
    most = 0.35 * contrast * strength
    texture = _smooth(rng, shape, (int(rng.integers(2, 7)), int(rng.integers(2, 17))))
    ground = texture * np.float32(rng.uniform(0, most))
    strokes = Image.new("L", (shape[1], shape[0]), 0)
    pen = ImageDraw.Draw(strokes)
    for _ in range(int(rng.integers(0, 5))):
        x0, x1 = (int(x) for x in rng.integers(-10, shape[1] + 10, 2))
        y0, y1 = (int(y) for y in rng.integers(-10, shape[0] + 10, 2))
        level = int(rng.integers(60, 256))
        if rng.random() < 0.5:
            pen.line((x0, y0, x1, y1), fill=level, width=int(rng.integers(1, 4)))
        else:
            pen.rectangle((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), fill=level)
    sign = -1.0 if rng.random() < 0.5 else 1.0
    drawn = np.asarray(strokes, dtype=np.float32) / np.float32(255)
    return ground + drawn * np.float32(sign * rng.uniform(0, most))


def _light(
    rng: np.random.Generator, shape: tuple[int, int], strength: float, most: float
) -> Pixels:
    """rows x columns of factors around 1, up to ``most`` above and below it."""
    field = _smooth(rng, shape, (2, 3))
    return np.float32(1) + field * np.float32(min(most, rng.uniform(0, 0.45) * strength))


def _soften(
    rng: np.random.Generator, photo: Image.Image, degradation: Degradation, sharpness: float
) -> Image.Image:
    """Fewer pixels, then an unsharp lens; the more of the one, the less of the other."""
    lost = 0.0
    if rng.random() < degradation.low_resolution:
        lost = float(rng.uniform(0, 1)) * degradation.low_resolution * sharpness
        small = tuple(max(4, round(side / (1 + 1.3 * lost))) for side in photo.size)
        photo = photo.resize((small[0], small[1]), Image.Resampling.BOX).resize(
            photo.size, Image.Resampling.BILINEAR
        )
    if rng.random() < degradation.blur:
        radius = 1.5 * float(rng.uniform(0, 1)) * degradation.blur * sharpness * (1 - 0.6 * lost)
        photo = photo.filter(ImageFilter.GaussianBlur(radius))
    return photo


def _grain(
    rng: np.random.Generator, shape: tuple[int, ...], strength: float, contrast: float
) -> Pixels:
    """Noise to add, grey (1 x rows x columns) or coloured (3 x rows x columns)."""
    # A third of the contrast is as much as still reads.
    deviation = min(28.0, 0.3 * contrast) * strength * float(rng.uniform(0.1, 1))
    if rng.random() < 0.5:
        shape = (1, *shape[1:])
    # Two bytes summed are near enough to a bell and ten times as fast to draw.
    drawn = rng.integers(0, 256, (2, *shape), dtype=np.uint8).astype(np.float32)
    grain: Pixels = drawn[0] + drawn[1]
    grain -= np.float32(255)
    grain *= np.float32(deviation / (256 / math.sqrt(6)))
    return grain


def _compressed(
    rng: np.random.Generator, photo: NDArray[np.uint8], strength: float
) -> NDArray[np.uint8]:
    quality = int(95 - 65 * strength * float(rng.uniform(0, 1)))
    held = io.BytesIO()
    Image.fromarray(photo).save(held, "JPEG", quality=quality)
    held.seek(0)
    return np.asarray(Image.open(held), dtype=np.uint8)
