"""From ink to a photograph: colours, ground, light, and what a bad camera does to them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.data.render.spec import Degradation

    Pixels = NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def photograph(
    rng: np.random.Generator, ink: Pixels, degradation: Degradation, sharpness: float
) -> NDArray[np.uint8]:
    """rows x columns x 3 (RGB) from ink (rows x columns, 0 to 1).

    ``sharpness`` in 0 to 1 scales down all that costs resolution: narrow characters stand less.
    """
    contrast = _contrast(rng, degradation.low_contrast)
    dark, light = _levels(rng, contrast)
    # Paper more often than signs.
    ground, text = (light, dark) if rng.random() < 0.6 else (dark, light)
    field = _ground(rng, ink.shape, contrast, degradation.clutter)[..., None] + _tinted(
        rng, ground, degradation.colour
    )
    image = field + (_tinted(rng, text, degradation.colour) - field) * ink[..., None]
    image *= _light(rng, ink.shape, degradation.uneven_light)[..., None]
    photo = Image.fromarray(_bytes(image))
    photo = _soften(rng, photo, degradation, sharpness)
    photo = Image.fromarray(_noisy(rng, photo, degradation.noise, contrast))
    return np.asarray(_compressed(rng, photo, degradation.jpeg), dtype=np.uint8)


def _bytes(image: Pixels) -> NDArray[np.uint8]:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


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
    colour = np.full(3, level, np.float32)
    if rng.random() < strength:
        tint = rng.uniform(-90, 90, 3).astype(np.float32)
        colour += tint - np.float32((tint * _LUMA).sum())
    return np.clip(colour, 0, 255)


def _smooth(rng: np.random.Generator, shape: tuple[int, ...], cells: tuple[int, int]) -> Pixels:
    """rows x columns in -1 to 1: a few random cells, drawn out softly."""
    grid = rng.uniform(-1, 1, cells).astype(np.float32)
    drawn = Image.fromarray(grid).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    return np.asarray(drawn, dtype=np.float32)


def _ground(
    rng: np.random.Generator, shape: tuple[int, ...], contrast: float, strength: float
) -> Pixels:
    """rows x columns of grey levels to add to the ground: texture, strokes and edges.

    Never more than a part of the contrast, or the strokes would be read.
    """
    if rng.random() >= strength:
        return np.zeros(shape, np.float32)
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


def _light(rng: np.random.Generator, shape: tuple[int, ...], strength: float) -> Pixels:
    """rows x columns of factors around 1."""
    if rng.random() >= strength:
        return np.ones(shape, np.float32)
    field = _smooth(rng, shape, (2, 3))
    return np.float32(1) + field * np.float32(rng.uniform(0, 0.45) * strength)


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


def _noisy(
    rng: np.random.Generator, photo: Image.Image, strength: float, contrast: float
) -> NDArray[np.uint8]:
    pixels = np.asarray(photo, dtype=np.float32)
    if rng.random() >= strength:
        return _bytes(pixels)
    # A third of the contrast is as much as still reads.
    deviation = np.float32(min(28.0, 0.3 * contrast) * strength * rng.uniform(0.1, 1))
    if rng.random() < 0.5:
        grain = rng.standard_normal(pixels.shape, dtype=np.float32)
    else:
        grain = rng.standard_normal(pixels.shape[:2], dtype=np.float32)[..., None]
    return _bytes(pixels + grain * deviation)


def _compressed(rng: np.random.Generator, photo: Image.Image, strength: float) -> Image.Image:
    if rng.random() >= strength:
        return photo
    quality = int(95 - 65 * strength * float(rng.uniform(0, 1)))
    held = io.BytesIO()
    photo.save(held, "JPEG", quality=quality)
    held.seek(0)
    return Image.open(held).convert("RGB")
