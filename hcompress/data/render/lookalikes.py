"""Which characters fonts draw alike, and the 20,948 characters that leaves.

`python -m hcompress.data.render.lookalikes` prints recipes/charsets/gbk21k.txt.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from hcompress.data.render.draw import BODY, glyph
from hcompress.data.render.fonts import Face, coverage, faces
from hcompress.data.render.spec import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray


IDEOGRAPHS = tuple(map(chr, range(0x4E00, 0x9FA6)))
"""GBK's 20,902 unified ideographs: the block as Unicode 1.1 had it."""
KEPT = 20_886
BIG5_SECOND_LEVEL = b"\xc9\x40"
SIDE = 20
"""Pixels a side at which two characters are compared."""
_ROWS = 512


def charset() -> str:
    """Letters, digits and 20,886 ideographs, in order of their code points.

    The 16 left out are one each of the pairs that fonts draw most alike. Of a pair goes the one
    that is not in daily use, of two such the later; a pair in daily use stays whole. Raises
    EnvironmentFailed where a font is missing.
    """
    out: set[str] = set()
    for first, second in alike():
        if len(out) == len(IDEOGRAPHS) - KEPT:
            break
        rare = [c for c in (first, second) if not _in_daily_use(c)]
        if rare and not out & {first, second}:
            out.add(rare[-1])
    kept = "".join(c for c in IDEOGRAPHS if c not in out)
    return string.digits + string.ascii_uppercase + string.ascii_lowercase + kept


def alike() -> list[tuple[str, str]]:
    """Every ideograph with the one drawn most like it: each pair once, most alike first.

    Likeness is the cosine of the two inks, averaged over the families that draw all of them.
    """
    every = set(IDEOGRAPHS)
    full: dict[str, Face] = {}
    for face in (*faces(Split.TRAIN, "国"), *faces(Split.UNSEEN, "国")):
        if every <= coverage(face):
            full.setdefault(face.family, face)
    drawn = np.concatenate([inks(face, IDEOGRAPHS) for face in full.values()], axis=1)
    pairs: dict[tuple[str, str], float] = {}
    for start in range(0, len(drawn), _ROWS):
        cosines = drawn[start : start + _ROWS] @ drawn.T / len(full)
        rows = np.arange(len(cosines))
        cosines[rows, rows + start] = -1
        nearest = cosines.argmax(axis=1)
        for row, near in zip(rows, nearest, strict=True):
            low, high = sorted((int(row + start), int(near)))
            pairs[IDEOGRAPHS[low], IDEOGRAPHS[high]] = float(cosines[row, near])
    return sorted(pairs, key=lambda pair: (-pairs[pair], pair))


def inks(face: Face, characters: tuple[str, ...]) -> NDArray[np.float32]:
    """characters x SIDE² pixels: the ink as it sits in the body, each of length one."""
    rows = np.empty((len(characters), SIDE * SIDE), np.float32)
    for row, character in zip(rows, characters, strict=True):
        drawn = glyph(face, character)
        box = (-drawn.left, -drawn.top, BODY - drawn.left, BODY - drawn.top)
        tile = Image.fromarray(drawn.ink).crop(box).resize((SIDE, SIDE), Image.Resampling.BOX)
        row[:] = np.asarray(tile, dtype=np.float32).ravel()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _in_daily_use(character: str) -> bool:
    """In GB 2312, or in the first of Big5's two levels: simplified or traditional."""
    try:
        character.encode("gb2312")
    except UnicodeEncodeError:
        try:
            return character.encode("big5") < BIG5_SECOND_LEVEL
        except UnicodeEncodeError:
            return False
    return True


if __name__ == "__main__":
    print(charset())
