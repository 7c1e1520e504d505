"""A folder of images, without labels: what a user has who wants to read, calibrate or distil."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hcompress.data.images import read_image
from hcompress.data.sample import Sample
from hcompress.errors import InputRefused
from hcompress.strict.digest import stream_digest
from hcompress.strict.show import visible

SUFFIXES: Final = frozenset(
    (
        ".apng", ".bmp", ".dib", ".gif", ".jfif", ".jif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pfm",
        ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
    )
)  # fmt: skip
"""What is taken for an image by its name."""
_BEGINNINGS: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
"""What is taken for one by its first bytes, whatever its name."""
_NAMED: Final = 3
"""Files that are named before the others are counted."""
NO_IMAGE: Final = "no image"
LINK: Final = "a link to a folder, which is not followed"


class LeftOut:
    """What a walk passed by, by the reason."""

    def __init__(self) -> None:
        self._by_reason: dict[str, list[Path]] = {}
        self._more: dict[str, int] = {}
        self.failed = 0
        """Of them, folders and files that the machine would not give."""

    def fail(self, path: Path, error: OSError) -> None:
        self.failed += 1
        self.add(path, (error.strerror or "cannot be opened").lower())

    def add(self, path: Path, why: str) -> None:
        named = self._by_reason.setdefault(why, [])
        if len(named) < _NAMED:
            named.append(path)
        else:
            self._more[why] = self._more.get(why, 0) + 1

    def lines(self) -> Iterator[str]:
        """A line a reason."""
        for why, paths in self._by_reason.items():
            more = self._more.get(why, 0)
            names = ", ".join(visible(str(path)) for path in paths)
            yield f"left out: {names}{f' and {more:,} more' if more else ''}: {why}"


def images_below(folder: Path, left_out: LeftOut | None = None) -> Iterator[Path]:
    """The images in a folder, by name, then those in the folders below.

    An image is known by its name or its first bytes. All else is told to ``left_out``. A link to
    an image is one, whether it leads anywhere or not.
    """
    left_out = left_out or LeftOut()

    def unreadable(error: OSError) -> None:
        left_out.fail(Path(error.filename), error)

    for place, below, names in os.walk(folder, onerror=unreadable):
        below.sort()
        for name in sorted({*names, *below}):
            path = Path(place, name)
            try:
                why = _not_taken(path)
            except OSError as error:
                left_out.fail(path, error)
                continue
            if why is None:
                yield path
            elif why:
                left_out.add(path, why)


def _not_taken(path: Path) -> str | None:
    """Why a path is not taken; None if it is, and nothing for a folder that is gone through.

    Raises OSError if that can't be told.
    """
    named = path.suffix.lower() in SUFFIXES
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return LINK if path.is_symlink() else ""
        if not stat.S_ISREG(mode):
            return "no plain file"
        return None if named or _begins_as_image(path) else NO_IMAGE
    except FileNotFoundError as error:
        return None if named else (error.strerror or "leads nowhere").lower()
    except OSError:
        if named:
            return None
        raise


def _begins_as_image(path: Path) -> bool:
    with path.open("rb") as opened:
        start = opened.read(12)
    if start[:2] == b"BM":  # two letters alone begin many a text
        return int.from_bytes(start[2:6], "little") == path.stat().st_size
    if start[:1] == b"P" and start[1:2] in b"1234567fF":
        return start[2:3].isspace()
    return start.startswith(_BEGINNINGS) or (start[:4], start[8:]) == (b"RIFF", b"WEBP")


class ImageFolderSource:
    """The images in a folder and the folders in it, by their names; what they say is unknown.

    Their texts are empty. Raises InputRefused if there are none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.left_out = LeftOut()
        """What is no image, to be told."""
        self._files = sorted(filter(self._is_there, images_below(path, self.left_out)))
        if not self._files:
            raise InputRefused(f"{path}: a folder without images ({', '.join(sorted(SUFFIXES))})")

    def _is_there(self, file: Path) -> bool:
        there = file.is_file()
        if not there:
            self.left_out.add(file, "a link that leads nowhere")
        return there

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
