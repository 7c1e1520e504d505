"""Chinese fonts: two families are on PyPI, the others Debian packages that may not be here.

What can be tested with any family is tested with those that are here; a family's own test says
so where it is missing.
"""

import pytest

from hcompress.data.render import fonts
from hcompress.data.render.families import FAMILIES, Family
from hcompress.data.render.fonts import Face, faces
from hcompress.data.render.spec import Split
from hcompress.errors import EnvironmentFailed

CJK_FACES = [
    face
    for split in Split
    for face in sorted(set(faces(split, "国")) - set(faces(split, "a")), key=lambda f: f.file)
]
DEBIAN = {family.name for family in FAMILIES if family.debian}


def use_cjk_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Chinese drawn with PyPI's families, one a split, and those of Debian's that are here."""
    need(*(face for face in CJK_FACES if face.family not in DEBIAN))
    monkeypatch.setattr(fonts, "FAMILIES", tuple(filter(_is_here, FAMILIES)))


def _is_here(family: Family) -> bool:
    return all(_missing(face) is None for face in CJK_FACES if face.family == family.name)


def need(*wanted: Face) -> None:
    """Skip where one of these is not installed, and say how it would be."""
    for face in wanted:
        if (error := _missing(face)) is not None:
            pytest.skip(str(error))


def _missing(face: Face) -> EnvironmentFailed | None:
    try:
        face.read()
    except EnvironmentFailed as error:
        return error
    return None
