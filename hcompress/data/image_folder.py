"""A folder of images, without labels: what a user has who wants to calibrate or distil."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Final

from hcompress.data.images import read_image
from hcompress.data.sample import Sample
from hcompress.errors import InputRefused
from hcompress.strict.digest import stream_digest

SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".tif", ".tiff")


class ImageFolderSource:
    """The images in a folder and the folders in it, by their names; what they say is unknown.

    Their texts are empty. Raises InputRefused if there are none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = sorted(
            file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file()
        )
        if not self._files:
            raise InputRefused(f"{path}: a folder without images ({', '.join(SUFFIXES)})")

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self._files):
            raise IndexError(index)
        return Sample(read_image(self._files[index]), "")

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over every file's bytes, in order; names don't count."""
        whole = hashlib.sha256(b"hcompress image folder 1\n")
        for file in self._files:
            with file.open("rb") as opened:
                whole.update(bytes.fromhex(stream_digest(opened, file)))
        return whole.hexdigest()
