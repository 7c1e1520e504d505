"""The typefaces that text is drawn with, as data: package, files, licence, side of the split.

Split by family, so that test lines are in fonts whose every weight and slant is new to the
recogniser. Fonts come from packages alone, so that every machine draws the same; none is
copied into this one.
"""

from __future__ import annotations

from dataclasses import dataclass

from hcompress.data.render.spec import Split


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
MODULES = "pymupdf_fonts"
"""Holds each font as a module with the bytes in `fontbuffer`: its files have no suffix."""

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
        MODULES,
        ("NotoSans_Regular", "NotoSans_Bold", "NotoSans_Italic", "NotoSans_BoldItalic"),
        "OFL-1.1",
        TRAIN,
    ),
    Family(
        "Cascadia Mono",
        MODULES,
        ("CascadiaMono_Regular", "CascadiaMono_Bold", "CascadiaMono_Italic"),
        "OFL-1.1",
        TRAIN,
    ),
    Family(
        "Space Mono",
        MODULES,
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
        MODULES,
        ("FiraGO_Regular", "FiraGO_Bold", "FiraGO_Italic", "FiraGO_BoldItalic"),
        "OFL-1.1",
        UNSEEN,
    ),
    Family("Fira Mono", MODULES, ("FiraMono_Regular", "FiraMono_Bold"), "OFL-1.1", UNSEEN),
    Family(
        "Ubuntu",
        MODULES,
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
