"""Ink: a text in a face becomes a coverage mask, seen from a little off the straight."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from hcompress.data.render.fonts import coverage, font

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.data.render.fonts import Face


BODY = 40
"""Pixels from the top of the ascenders to the bottom of the descenders, before fitting."""
ROOM = 40
"""Empty pixels around the text on its canvas, for what the geometry pulls in."""
HEIGHT = 48
_PROBE = 100


@dataclass(frozen=True)
class Glyph:
    """One character's ink: rows x columns, 0 to 255, and where it sits from the pen."""

    ink: NDArray[np.uint8]
    left: int
    top: int
    """From the top of the body; negative above it."""
    advance: float


@functools.lru_cache(maxsize=1024)
def body(face: Face) -> tuple[int, int]:
    """Pixels an em at which the face's body is BODY high, and the body's top in that size.

    Lines are cut by the face's body, not by their ink: 'o' and 'O' differ in nothing else.
    """
    covered = coverage(face)
    tall = "dHlgpy" if covered.issuperset("dHlgpy") else ""
    if "国" in covered:
        tall += "国"
    tall = tall or "".join(sorted(covered)[:64])
    _, top, _, bottom = font(face, _PROBE).getbbox(tall)
    size = max(1, round(_PROBE * BODY / max(1, bottom - top)))
    _, top, _, _ = font(face, size).getbbox(tall)
    return size, int(top)


@functools.lru_cache(maxsize=250_000)
def glyph(face: Face, character: str) -> Glyph:
    """A character's ink at the face's own size, drawn once per process.

    The cache holds 20,948 characters in ten faces: some 350 MiB when full.
    """
    size, top_of_body = body(face)
    drawn = font(face, size)
    left, top, right, bottom = (int(side) for side in drawn.getbbox(character))
    tile = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(tile).text((-left, -top), character, fill=255, font=drawn)
    ink = np.array(tile, dtype=np.uint8)
    return Glyph(ink, left, top - top_of_body, drawn.getlength(character))


def ink(face: Face, text: str, spacing: float) -> tuple[NDArray[np.uint8], list[float]]:
    """Canvas mask with ROOM on all sides, and the pen's place before each character and after.

    ``spacing`` is added to every advance, in pixels.
    """
    glyphs = [glyph(face, character) for character in text]
    pens = [float(ROOM)]
    for drawn in glyphs:
        pens.append(pens[-1] + max(1.0, drawn.advance + spacing))
    canvas = np.zeros((BODY + 2 * ROOM, math.ceil(pens[-1]) + ROOM), np.uint8)
    for pen, drawn in zip(pens, glyphs, strict=False):
        _put(canvas, drawn.ink, round(pen) + drawn.left, ROOM + drawn.top)
    return canvas, pens


def _put(canvas: NDArray[np.uint8], ink: NDArray[np.uint8], x: int, y: int) -> None:
    left, top = max(0, x), max(0, y)
    right, bottom = min(canvas.shape[1], x + ink.shape[1]), min(canvas.shape[0], y + ink.shape[0])
    if left >= right or top >= bottom:
        return
    under = canvas[top:bottom, left:right]
    np.maximum(under, ink[top - y : bottom - y, left - x : right - x], out=under)


@dataclass(frozen=True)
class View:
    """How a crop is seen: all that turns a straight line into a photographed one."""

    angle: float
    """Radians, positive clockwise."""
    shear: float
    corners: NDArray[np.float64]
    """4 x 2, in pixels: what the corners move by, counter-clockwise from the top left."""

    @classmethod
    def draw(cls, rng: np.random.Generator, strength: float, width: float) -> View:
        if rng.random() >= 0.35 + 0.65 * strength:
            return cls(0.0, 0.0, np.zeros((4, 2)))
        # A long line turned far would need a crop so high that its letters vanish.
        most = min(0.15, 12.0 / max(width, 1.0)) * strength
        return cls(
            float(rng.uniform(-most, most)),
            float(rng.uniform(-0.35, 0.35)) * strength,
            rng.uniform(-6.0, 6.0, (4, 2)) * strength,
        )


def see(
    canvas: NDArray[np.uint8],
    crop: tuple[float, float, float, float],
    size: tuple[int, int],
    view: View,
) -> Image.Image:
    """Ink (mode L) of the canvas's crop (left, top, right, bottom) at ``size`` (w, h)."""
    left, top, right, bottom = crop
    # Turning by an angle takes a higher crop to keep both ends of the line in it.
    lift = 0.5 * abs(math.sin(view.angle)) * (right - left)
    top, bottom = top - lift, bottom + lift
    centre = np.array([(left + right) / 2, (top + bottom) / 2])
    quad = np.array([[left, top], [left, bottom], [right, bottom], [right, top]]) - centre
    quad[:, 0] += view.shear * quad[:, 1]
    cos, sin = math.cos(view.angle), math.sin(view.angle)
    quad = quad @ np.array([[cos, sin], [-sin, cos]]) + centre + view.corners
    return Image.fromarray(canvas).transform(
        size, Image.Transform.PERSPECTIVE, _perspective(size, quad), Image.Resampling.BILINEAR
    )


def _perspective(
    size: tuple[int, int], quad: NDArray[np.float64]
) -> tuple[float, float, float, float, float, float, float, float]:
    """Coefficients that take a size (w, h) rectangle's corners to the quad's.

    Heckbert, Fundamentals of Texture Mapping (1989), section 2.2.3, square to quadrilateral.
    """
    (x0, y0), (x3, y3), (x2, y2), (x1, y1) = quad.tolist()
    dx1, dx2, sx = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, sy = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    area = dx1 * dy2 - dx2 * dy1
    g, h = (sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area
    width, height = size
    return (
        (x1 - x0 + g * x1) / width,
        (x3 - x0 + h * x3) / height,
        x0,
        (y1 - y0 + g * y1) / width,
        (y3 - y0 + h * y3) / height,
        y0,
        g / width,
        h / height,
    )
