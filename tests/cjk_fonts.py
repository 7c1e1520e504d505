"""Chinese fonts are large and come from Debian: tests that need them say so where they lack."""

import pytest

from hcompress.data.render.fonts import Face, faces
from hcompress.data.render.spec import Split
from hcompress.errors import EnvironmentFailed

CJK_FACES = [
    face
    for split in Split
    for face in sorted(set(faces(split, "国")) - set(faces(split, "a")), key=lambda f: f.file)
]


def need_cjk_fonts() -> None:
    need(*CJK_FACES)


def need(*wanted: Face) -> None:
    try:
        for face in wanted:
            face.read()
    except EnvironmentFailed as error:
        pytest.skip(str(error))
