"""Label files: one image a line, `path<TAB>text`, paths relative to the file."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from hcompress.data.images import read_image
from hcompress.data.line_index import index_lines
from hcompress.data.sample import Label, Sample
from hcompress.errors import InputRefused, UsageError
from hcompress.strict.digest import stream_digest
from hcompress.strict.files import read_small

MAX_FILE = 512 * 2**20
"""Ten million lines of a usual length."""


class LabelFileSource:
    """The images a label file lists. Blank lines are passed over; a text may hold tabs.

    Raises UsageError where there is no such file; InputRefused where a line is not
    `path<TAB>text`, where a text is empty, or where the file lists nothing. In memory are the
    file's bytes and four more a line, however short the lines.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = _read(path)
        self._starts = index_lines(self._data, path)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> Sample:
        image, text = self._line(index)
        try:
            return Sample(read_image(self._path.parent / image), text)
        except (UsageError, InputRefused) as error:
            raise InputRefused(f"{self._where(index)}: {error}") from None

    def text(self, index: int) -> str:
        """What the line says behind its tab."""
        return self._line(index)[1]

    def label(self, index: int) -> Label:
        """The text, and its line in the file."""
        return Label(self._line(index)[1], self._where(index))

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over every text and every image file's bytes, in order; paths don't count."""
        whole = hashlib.sha256(b"hcompress label file 1\n")
        for index in range(len(self)):
            name, said = self._line(index)
            image = self._path.parent / name
            if not image.is_file():
                raise InputRefused(f"{self._where(index)}: {image}: no such image file")
            with image.open("rb") as opened:
                whole.update(bytes.fromhex(stream_digest(opened, image)))
            text = said.encode()
            whole.update(len(text).to_bytes(8, "little") + text)
        return whole.hexdigest()

    def _line(self, index: int) -> tuple[str, str]:
        """An image's path as it is written, and its text."""
        if not 0 <= index < len(self._starts):
            raise IndexError(index)
        start = int(self._starts[index])
        end = self._data.find(b"\n", start)
        line = self._data[start : len(self._data) if end < 0 else end]
        image, _, text = line.removesuffix(b"\r").decode("utf-8").partition("\t")
        return image, text

    def _where(self, index: int) -> str:
        """The file and the line, counted from 1, as editors count."""
        number = self._data.count(b"\n", 0, int(self._starts[index])) + 1
        return f"{self._path}, line {number}"


def _read(path: Path) -> bytes:
    """The file without a byte order mark."""
    if not path.is_file():
        raise UsageError(f"{path}: no such label file")
    size = path.stat().st_size
    if size > MAX_FILE:
        raise InputRefused(
            f"{path}: {size >> 20} MiB, larger than {MAX_FILE >> 20}: split it, or make an LMDB of"
            " each part"
        )
    if size == 0:
        raise InputRefused(f"{path}: lists no image; a line is path<TAB>text")
    return read_small(path, MAX_FILE).removeprefix(b"\xef\xbb\xbf")
