"""Label files: one image a line, `path<TAB>text`, paths relative to the file."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hcompress.data.images import read_image
from hcompress.data.sample import Sample
from hcompress.errors import InputRefused, UsageError
from hcompress.strict.digest import stream_digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MAX_FILE = 2 * 2**30


class _Line(NamedTuple):
    number: int
    """From 1, as editors count."""
    path: str
    text: str


class LabelFileSource:
    """The images a label file lists. Blank lines are passed over; a text may hold tabs.

    Raises UsageError where there is no such file; InputRefused where a line is not
    `path<TAB>text`, where a text is empty, or where the file lists nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = _read_lines(path)

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self._lines):
            raise IndexError(index)
        return Sample(self._image(self._lines[index]), self._lines[index].text)

    def _image(self, line: _Line) -> NDArray[np.uint8]:
        try:
            return read_image(self._path.parent / line.path)
        except (UsageError, InputRefused) as error:
            raise InputRefused(f"{self._path}, line {line.number}: {error}") from None

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over every text and every image file's bytes, in order; paths don't count."""
        whole = hashlib.sha256(b"hcompress label file 1\n")
        for line in self._lines:
            image = self._path.parent / line.path
            if not image.is_file():
                raise InputRefused(f"{self._path}, line {line.number}: {image}: no such image file")
            with image.open("rb") as opened:
                whole.update(bytes.fromhex(stream_digest(opened, image)))
            text = line.text.encode()
            whole.update(len(text).to_bytes(8, "little") + text)
        return whole.hexdigest()


def _read_lines(path: Path) -> list[_Line]:
    if not path.is_file():
        raise UsageError(f"{path}: no such label file")
    if path.stat().st_size > MAX_FILE:
        raise InputRefused(f"{path}: larger than 2 GiB; split it, or make an LMDB of it")
    try:
        whole = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputRefused(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
    # Not splitlines: it also breaks at U+2028 and form feeds, which are text here.
    numbered = enumerate(whole.split("\n"), start=1)
    lines = [_read_line(path, number, line.removesuffix("\r")) for number, line in numbered if line]
    kept = [line for line in lines if line is not None]
    if not kept:
        raise InputRefused(f"{path}: lists no image; a line is path<TAB>text")
    return kept


def _read_line(path: Path, number: int, line: str) -> _Line | None:
    if not line.strip():
        return None
    image, tab, text = line.partition("\t")
    if not tab:
        raise InputRefused(f"{path}, line {number}: no tab; a line is path<TAB>text")
    if not image or "\0" in image:
        raise InputRefused(f"{path}, line {number}: no usable path before the tab")
    if not text:
        raise InputRefused(f"{path}, line {number}: no text after the tab")
    return _Line(number, image, text)
