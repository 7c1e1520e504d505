"""What is hashed, and what would take hours."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from hcompress.data.image_folder import ImageFolderSource
from hcompress.errors import InputRefused
from hcompress.formats.open import ModelFile
from hcompress.strict.digest import file_digest

GIANT = 60 << 30


@pytest.fixture
def giant(tmp_path: Path) -> Path:
    path = tmp_path / "giant.png"
    path.write_bytes(b"\x89PNG")
    os.truncate(path, GIANT)
    if path.stat().st_blocks * 512 > GIANT // 16:
        pytest.skip("this file system keeps no holes")
    return path


def test_a_file_is_named_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 9)
    assert file_digest(tmp_path / "f") == hashlib.sha256(b"x" * 9).hexdigest()


def test_a_small_file_of_holes_is_hashed(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    os.truncate(tmp_path / "f", 1 << 20)
    assert file_digest(tmp_path / "f") == hashlib.sha256(bytes(1 << 20)).hexdigest()


def test_giants_of_holes_are_refused(giant: Path) -> None:
    with pytest.raises(InputRefused, match=r"giant\.png: 64,424,509,440 bytes, of which"):
        file_digest(giant)
    with pytest.raises(InputRefused, match="holes"):
        _ = ImageFolderSource(giant.parent).digest
    with pytest.raises(InputRefused, match="no recogniser is larger"):
        _ = ModelFile(giant).own_digest
