"""The typefaces that text is drawn with, as data: package, files, licence, side of the split.

Split by family: test lines are in fonts whose every weight and slant is new to the recogniser.
Fonts come from packages alone, so that every machine draws the same. PyPI has few free Chinese
ones, Debian has many, with licences as its copyright files and the fonts' name tables have them.
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
    debian: str = ""
    """The Debian package, where it is one; ``package`` is then DEBIAN and the fonts' folder."""


TRAIN, UNSEEN = Split.TRAIN, Split.UNSEEN
_MPL = "matplotlib/mpl-data/fonts/ttf"
DEBIAN = "debian"
"""Stands for the folder that Debian installs fonts in."""
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
    # Chinese fonts: gothic, song and kai hands on both sides. WenQuanYi Micro Hei is left out: it
    # is Droid Sans Fallback's design, and draws 24 pairs of characters alike. So is AR PL UMing:
    # BabelStone Han is made from it.
    Family(
        "Droid Sans Fallback",
        f"{DEBIAN}/truetype/droid",
        ("DroidSansFallbackFull.ttf",),
        "Apache-2.0",
        TRAIN,
        cjk=True,
        debian="fonts-droid-fallback",
    ),
    Family(
        "TW-Sung",
        f"{DEBIAN}/truetype/cns11643",
        ("TW-Sung-98_1.ttf",),
        "OGDL-Taiwan-1.0",
        TRAIN,
        cjk=True,
        debian="fonts-cns11643-sung",
    ),
    Family(
        "BabelStone Han",
        f"{DEBIAN}/truetype/babelstone",
        ("BabelStoneHan.ttf",),
        "Arphic-1999",
        TRAIN,
        cjk=True,
        debian="fonts-babelstone-han",
    ),
    Family(
        "Hanazono Mincho",
        f"{DEBIAN}/truetype/hanazono",
        ("HanaMinA.ttf",),
        "Hanazono or OFL-1.1",
        TRAIN,
        cjk=True,
        debian="fonts-hanazono",
    ),
    Family(
        "LXGW WenKai",
        f"{DEBIAN}/truetype/lxgw-wenkai",
        ("LXGWWenKai-Light.ttf", "LXGWWenKai-Regular.ttf", "LXGWWenKai-Bold.ttf"),
        "OFL-1.1",
        TRAIN,
        cjk=True,
        debian="fonts-lxgw-wenkai",
    ),
    Family(
        "AR PL UKai",
        f"{DEBIAN}/truetype/arphic",
        ("ukai.ttc",),
        "Arphic-1999",
        TRAIN,
        cjk=True,
        debian="fonts-arphic-ukai",
    ),
    Family(
        "Smiley Sans",
        f"{DEBIAN}/truetype/smiley-sans",
        ("SmileySans-Oblique.ttf",),
        "OFL-1.1",
        TRAIN,
        cjk=True,
        debian="fonts-smiley-sans",
    ),
    Family(
        "WenQuanYi Zen Hei",
        f"{DEBIAN}/truetype/wqy",
        ("wqy-zenhei.ttc",),
        "GPL-2.0 with font exception",
        UNSEEN,
        cjk=True,
        debian="fonts-wqy-zenhei",
    ),
    Family(
        "TW-Kai",
        f"{DEBIAN}/truetype/cns11643",
        ("TW-Kai-98_1.ttf",),
        "OGDL-Taiwan-1.0",
        UNSEEN,
        cjk=True,
        debian="fonts-cns11643-kai",
    ),
)
