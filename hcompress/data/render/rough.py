"""Drawn lines as bad cameras and printers leave them: what a recogniser is unsure of.

A small recogniser answers clean lines whatever is done to its weights. What tells good weights from
bad ones is the unsure: few pixels, slant, darkness, frames and edges, letters eaten by a threshold.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from hcompress.data.sample import Sample

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource


@dataclass(frozen=True)
class RoughLines:
    """The lines of another source, roughened. Labels stay, readable or not."""

    source: DataSource
    seed: int

    @property
    def digest(self) -> str:
        """SHA-256 over the source's digest and the seed."""
        text = f"hcompress rough lines 1\n{self.seed}\n{self.source.digest}\n"
        return hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, index])))
        line = self.source[index]
        image = roughened(rng, Image.fromarray(line.image).convert("RGB"))
        return Sample(np.asarray(image, dtype=np.uint8), line.text)


def roughened(rng: np.random.Generator, line: Image.Image) -> Image.Image:
    """An image of a line (RGB), of about the same height, after one bad camera or printer."""
    line = _squeezed(rng, line)
    if rng.random() < 0.5:
        line = _slanted(rng, line)
    elif rng.random() < 0.5:
        line = _cropped(rng, line)
    if rng.random() < 0.35:
        line = _darkened(rng, line)
    if rng.random() < 0.65:
        line = _coarse(rng, line)
    return _thresholded(rng, line) if rng.random() < 0.25 else line


def _squeezed(rng: np.random.Generator, line: Image.Image) -> Image.Image:
    """Narrower or wider letters."""
    factor = float(np.exp(rng.uniform(-0.5, 0.2)))
    return line.resize((max(8, round(line.width * factor)), line.height), Image.Resampling.BILINEAR)


def _slanted(rng: np.random.Generator, line: Image.Image) -> Image.Image:
    """With a frame around it, seen from the side: the line runs up or down within the image."""
    width, height = line.size
    edge = tuple(int(part) for part in rng.integers(0, 256, 3))
    frame = ImageOps.expand(line, int(rng.integers(0, 4)), edge)
    room = int(rng.integers(2, 10))
    ground = tuple(int(part) for part in rng.integers(0, 256, 3))
    whole = ImageOps.expand(frame, room, ground)
    wide, high = whole.size
    slope = float(rng.uniform(-1, 1)) * min(0.5 * high / wide, 0.3) * wide
    lean = float(rng.uniform(-0.25, 0.25)) * high
    # Output pixel -> input pixel: the corners of a parallelogram, a little off it.
    left, right = float(rng.uniform(0, room)), wide - float(rng.uniform(0, room))
    top, bottom = float(rng.uniform(0, room)), high - float(rng.uniform(0, room))
    quad = (
        left + lean / 2, top - slope / 2, left - lean / 2, bottom - slope / 2,
        right - lean / 2, bottom + slope / 2, right + lean / 2, top + slope / 2,
    )  # fmt: skip
    return whole.transform(
        (width, height), Image.Transform.QUAD, quad, Image.Resampling.BILINEAR, fillcolor=ground
    )


def _cropped(rng: np.random.Generator, line: Image.Image) -> Image.Image:
    """Cut close, into the letters now and then."""
    width, height = line.size
    sides = rng.uniform(0, 0.12, 4) * height
    left, top, right, bottom = (int(side) for side in sides)
    return line.crop((left, top, max(left + 8, width - right), max(top + 8, height - bottom)))


def _darkened(rng: np.random.Generator, line: Image.Image) -> Image.Image:
    """Little light, or a grey veil."""
    pixels = np.asarray(line, dtype=np.float32)
    share = float(rng.uniform(0.25, 0.9))
    veil = float(rng.uniform(0, 255)) * (1 - share) if rng.random() < 0.5 else 0.0
    return _image(pixels * np.float32(share) + np.float32(veil))


def _coarse(rng: np.random.Generator, line: Image.Image) -> Image.Image:
    """Few pixels with noise in them, compressed, and made large again."""
    high = int(rng.integers(14, 36))
    wide = max(4, round(line.width * high / line.height))
    few = line.resize((wide, high), Image.Resampling.BOX)
    if rng.random() < 0.3:  # moved while the shutter was open
        few = few.resize((max(4, wide * 2 // 3), high), Image.Resampling.BOX).resize(few.size)
    grain = float(rng.uniform(0, 14))
    pixels = np.asarray(few, dtype=np.float32)
    few = _image(pixels + rng.normal(0, grain, pixels.shape).astype(np.float32))
    if rng.random() < 0.4:
        held = io.BytesIO()
        few.save(held, "JPEG", quality=int(rng.integers(30, 91)))
        few = Image.open(held).convert("RGB")
    how = Image.Resampling.BICUBIC if rng.random() < 0.5 else Image.Resampling.BILINEAR
    return few.resize(line.size, how)


def _thresholded(rng: np.random.Generator, line: Image.Image) -> Image.Image:
    """As scanners and thermal printers have it: nearly black, nearly white."""
    grey = np.asarray(line.convert("L"), dtype=np.float32)
    low, high = (float(one) for one in np.percentile(grey, (2, 98)))
    middle = low + (high - low) * float(rng.uniform(0.3, 0.7))
    gain = float(rng.uniform(1.5, 6)) * 255 / max(high - low, 20.0)
    ground = float(np.median(grey))
    sign = 1.0 if ground > middle else -1.0  # dark on light
    made = _image(np.float32(sign * gain) * (grey - np.float32(middle)) + np.float32(128))
    return made.convert("RGB")


def _image(pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
