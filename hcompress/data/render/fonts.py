"""The fonts that text is drawn with: which packages carry them, and what each can draw.

Fonts come from packages alone, so that every machine draws the same; the table is split by
family, so that test lines are in fonts whose every weight and slant is new to the recogniser.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.resources
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hcompress.data.render.spec import Split
from hcompress.errors import EnvironmentFailed

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont
    from PIL import ImageFont

INSTALL = 'pip install "hcompress[synth]"'


@dataclass(frozen=True)
class Family:
    """A typeface: its files in one package, under one licence, on one side of the split."""

    name: str
    package: str
    """The import package; the folder inside it follows after a slash."""
    files: tuple[str, ...]
    licence: str
    split: Split
    cjk: bool = False
    """Big files in a package of their own: looked at only for charsets that need them."""


TRAIN, UNSEEN = Split.TRAIN, Split.UNSEEN
_MPL = "matplotlib/mpl-data/fonts/ttf"
# pymupdf_fonts holds each font as a module with the bytes in `fontbuffer`; no file suffix there.
_MU = "pymupdf_fonts"

FAMILIES = (
    Family(
        "DejaVu Sans",
        _MPL,
        (
            "DejaVuSans.ttf",
            "DejaVuSans-Bold.ttf",
            "DejaVuSans-Oblique.ttf",
            "DejaVuSans-BoldOblique.ttf",
        ),
        "Bitstream Vera",
        TRAIN,
    ),
    Family(
        "DejaVu Serif",
        _MPL,
        (
            "DejaVuSerif.ttf",
            "DejaVuSerif-Bold.ttf",
            "DejaVuSerif-Italic.ttf",
            "DejaVuSerif-BoldItalic.ttf",
        ),
        "Bitstream Vera",
        TRAIN,
    ),
    Family(
        "DejaVu Sans Mono",
        _MPL,
        ("DejaVuSansMono.ttf", "DejaVuSansMono-Bold.ttf", "DejaVuSansMono-Oblique.ttf"),
        "Bitstream Vera",
        TRAIN,
    ),
    Family(
        "STIX General",
        _MPL,
        (
            "STIXGeneral.ttf",
            "STIXGeneralBol.ttf",
            "STIXGeneralItalic.ttf",
            "STIXGeneralBolIta.ttf",
        ),
        "STIX Fonts",
        TRAIN,
    ),
    Family(
        "Roboto",
        "font_roboto/files",
        (
            "Roboto-Light.ttf",
            "Roboto-Regular.ttf",
            "Roboto-Bold.ttf",
            "Roboto-Black.ttf",
            "Roboto-Italic.ttf",
            "Roboto-BoldItalic.ttf",
        ),
        "Apache-2.0",
        TRAIN,
    ),
    Family(
        "Source Sans Pro",
        "font_source_sans_pro/files",
        (
            "SourceSansPro-Light.ttf",
            "SourceSansPro-Regular.ttf",
            "SourceSansPro-Semibold.ttf",
            "SourceSansPro-Black.ttf",
            "SourceSansPro-It.ttf",
            "SourceSansPro-BoldIt.ttf",
        ),
        "OFL-1.1",
        TRAIN,
    ),
    Family(
        "Source Serif Pro",
        "font_source_serif_pro/files",
        (
            "SourceSerifPro-Light.ttf",
            "SourceSerifPro-Regular.ttf",
            "SourceSerifPro-Semibold.ttf",
            "SourceSerifPro-Black.ttf",
            "SourceSerifPro-It.ttf",
            "SourceSerifPro-BoldIt.ttf",
        ),
        "OFL-1.1",
        TRAIN,
    ),
    Family(
        "Manrope",
        "font_manrope/files",
        ("Manrope-Light.ttf", "Manrope-Medium.ttf", "Manrope-Bold.ttf", "Manrope-ExtraBold.ttf"),
        "OFL-1.1",
        TRAIN,
    ),
    Family(
        "Lato",
        "font_lato/files",
        (
            "Lato-Light.ttf",
            "Lato-Regular.ttf",
            "Lato-Bold.ttf",
            "Lato-Black.ttf",
            "Lato-Italic.ttf",
            "Lato-BoldItalic.ttf",
        ),
        "OFL-1.1",
        TRAIN,
    ),
    Family(
        "Noto Sans",
        _MU,
        ("NotoSans_Regular", "NotoSans_Bold", "NotoSans_Italic", "NotoSans_BoldItalic"),
        "OFL-1.1",
        TRAIN,
    ),
    Family(
        "Cascadia Mono",
        _MU,
        ("CascadiaMono_Regular", "CascadiaMono_Bold", "CascadiaMono_Italic"),
        "OFL-1.1",
        TRAIN,
    ),
    Family(
        "Space Mono",
        _MU,
        ("SpaceMono_Regular", "SpaceMono_Bold", "SpaceMono_Italic", "SpaceMono_BoldItalic"),
        "OFL-1.1",
        TRAIN,
    ),
    Family(
        "Noto Sans CJK SC",
        "mplfonts/fonts",
        ("NotoSansCJKsc-Regular.otf",),
        "OFL-1.1",
        TRAIN,
        cjk=True,
    ),
    Family("Intuitive", "font_intuitive/files", ("Intuitive.ttf",), "OFL-1.1", TRAIN),
    Family(
        "Hanken Grotesk",
        "font_hanken_grotesk/files",
        (
            "HankenGrotesk-Light.otf",
            "HankenGrotesk-Regular.otf",
            "HankenGrotesk-Bold.otf",
            "HankenGrotesk-Italic.otf",
        ),
        "OFL-1.1",
        UNSEEN,
    ),
    Family(
        "Caladea",
        "font_caladea/files",
        ("Caladea-Regular.ttf", "Caladea-Bold.ttf", "Caladea-Italic.ttf", "Caladea-BoldItalic.ttf"),
        "Apache-2.0",
        UNSEEN,
    ),
    Family(
        "FiraGO",
        _MU,
        ("FiraGO_Regular", "FiraGO_Bold", "FiraGO_Italic", "FiraGO_BoldItalic"),
        "OFL-1.1",
        UNSEEN,
    ),
    Family("Fira Mono", _MU, ("FiraMono_Regular", "FiraMono_Bold"), "OFL-1.1", UNSEEN),
    Family(
        "Ubuntu",
        _MU,
        ("Ubuntu_Regular", "Ubuntu_Bold", "Ubuntu_Italic", "Ubuntu_BoldItalic"),
        "UFL-1.0",
        UNSEEN,
    ),
    Family(
        "Noto Serif CJK SC",
        "mplfonts/fonts",
        ("NotoSerifCJKsc-Regular.otf",),
        "OFL-1.1",
        UNSEEN,
        cjk=True,
    ),
)


@dataclass(frozen=True)
class Face:
    """One file of a family."""

    family: str
    place: str
    file: str

    def read(self) -> bytes:
        """The font file's bytes. Raises EnvironmentFailed where its package is not installed."""
        package, _, folder = self.place.partition("/")
        try:
            if package == _MU:
                data = importlib.import_module(f"{package}.{self.file}").fontbuffer
                return bytes(data)
            return importlib.resources.files(package).joinpath(folder, self.file).read_bytes()
        except (ModuleNotFoundError, FileNotFoundError) as error:
            raise EnvironmentFailed(
                f"font {self.family}: {self.file} of package {package!r} is missing ({error});"
                f" {INSTALL}"
            ) from None


FIRST_CJK = "\u2e80"


def faces(split: Split, characters: Iterable[str]) -> tuple[Face, ...]:
    """The split's faces, the CJK families among them only where the characters call for them."""
    wide = any(character >= FIRST_CJK for character in characters)
    return tuple(
        Face(family.name, family.package, file)
        for family in FAMILIES
        if family.split is split and (wide or not family.cjk)
        for file in family.files
    )


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
    try:
        from fontTools.ttLib import TTFont
    except ModuleNotFoundError as error:
        raise EnvironmentFailed(f"{error}; {INSTALL}") from None
    with TTFont(io.BytesIO(_bytes(face)), lazy=True) as opened:
        mapping = opened.getBestCmap() or {}
        inked = _inked(opened)
        return frozenset(
            chr(code) for code, glyph in mapping.items() if opened.getGlyphID(glyph) in inked
        )


def _inked(opened: TTFont) -> frozenset[int]:
    """Glyph ids with an outline; .notdef, glyph 0, is none of them."""
    if "glyf" in opened:
        ends = opened["loca"]
        return frozenset(i for i in range(1, len(ends) - 1) if ends[i + 1] > ends[i])
    top = opened["CFF "].cff.topDictIndex[0]
    offsets = top.CharStrings.charStringsIndex.offsets
    # A width and endchar take at most five bytes; any outline takes more.
    return frozenset(i for i in range(1, len(offsets) - 1) if offsets[i + 1] - offsets[i] > 5)
