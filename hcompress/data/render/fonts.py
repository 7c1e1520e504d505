"""Where the fonts are on this machine, and what each can draw."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.resources
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hcompress.compute.libraries import require
from hcompress.data.render.families import DEBIAN, FAMILIES, MODULES, Family
from hcompress.data.render.spec import Split
from hcompress.errors import EnvironmentFailed

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont
    from PIL import ImageFont


INSTALL = 'pip install "hcompress[synth]"'
INSTALL_CJK = 'pip install "hcompress[synth-cjk]"'
INSTALL_DEBIAN = "apt-get install " + " ".join(sorted({f.debian for f in FAMILIES if f.debian}))
DEBIAN_FONTS = "HCOMPRESS_FONTS"
"""Environment variable: the folder to look in for Debian's fonts, where it is not the usual."""


@dataclass(frozen=True)
class Face:
    """One file of a family."""

    family: str
    place: str
    file: str
    install: str = INSTALL

    def read(self) -> bytes:
        """The font file's bytes. Raises EnvironmentFailed where its package is not installed."""
        package, _, folder = self.place.partition("/")
        try:
            if package == DEBIAN:
                root = Path(os.environ.get(DEBIAN_FONTS, "/usr/share/fonts"))
                return (root / folder / self.file).read_bytes()
            if package == MODULES:
                data = importlib.import_module(f"{package}.{self.file}").fontbuffer
                return bytes(data)
            return importlib.resources.files(package).joinpath(folder, self.file).read_bytes()
        except (ModuleNotFoundError, FileNotFoundError) as error:
            raise EnvironmentFailed(
                f"font {self.family}: {self.file} of package {package!r} is missing ({error});"
                f" {self.install}"
            ) from None


FIRST_CJK = "\u2e80"


def faces(split: Split, characters: Iterable[str], debian: bool = True) -> tuple[Face, ...]:
    """The split's faces, the CJK families among them only where the characters call for them.

    ``debian``: those that Debian has and pip has not, too.
    """
    wide = any(character >= FIRST_CJK for character in characters)
    return tuple(
        Face(family.name, family.package, file, _install(family))
        for family in FAMILIES
        if family.split is split and (wide or not family.cjk) and (debian or not family.debian)
        for file in family.files
    )


def _install(family: Family) -> str:
    if family.debian:
        return f"{INSTALL_DEBIAN} (or unpack them and point {DEBIAN_FONTS} at their folder)"
    return INSTALL_CJK if family.cjk else INSTALL


@functools.cache
def font_digest(face: Face) -> str:
    return hashlib.sha256(face.read()).hexdigest()


@functools.lru_cache(maxsize=1024)
def font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """The face at ``size`` pixels an em, laid out without shaping: the same on every build."""
    from PIL import ImageFont

    return ImageFont.truetype(io.BytesIO(_bytes(face)), size, layout_engine=ImageFont.Layout.BASIC)


@functools.cache
def _bytes(face: Face) -> bytes:
    return face.read()


@functools.cache
def coverage(face: Face) -> frozenset[str]:
    """The characters the face draws as ink: mapped, not to .notdef, and with an outline."""
    require("rendered text", ("fonttools",))
    from fontTools.ttLib import TTFont

    with TTFont(io.BytesIO(_bytes(face)), lazy=True, fontNumber=0) as opened:
        inked = _truetype_ink(opened) if "glyf" in opened else _cff_ink(opened)
        mapping: dict[int, str] = opened.getBestCmap() or {}
        return frozenset(
            chr(code) for code, name in mapping.items() if inked(name, opened.getGlyphID(name))
        )


def _truetype_ink(opened: TTFont) -> Callable[[str, int], bool]:
    ends = opened["loca"]
    return lambda _, glyph: glyph > 0 and ends[glyph + 1] > ends[glyph]


def _cff_ink(opened: TTFont) -> Callable[[str, int], bool]:
    from fontTools.pens.recordingPen import RecordingPen

    offsets = opened["CFF "].cff.topDictIndex[0].CharStrings.charStringsIndex.offsets
    glyphs = opened.getGlyphSet()

    def inked(name: str, glyph: int) -> bool:
        # A width and endchar: nothing longer is empty. As short may be a subroutine's call.
        if offsets[glyph + 1] - offsets[glyph] > 8:
            return glyph > 0
        pen = RecordingPen()
        glyphs[name].draw(pen)
        return glyph > 0 and bool(pen.value)

    return inked
