"""A scene-text LMDB that is being written: pages in its file, and a journal of what stands there.

A chunk of samples counts when its line in the journal is whole and its pages have the digest that
the line says. Whatever comes after the last such chunk is written anew, so that a call that was
killed, or whose files were damaged since, ends in the very bytes of one that was not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self, TypeVar

from hcompress.data.btree_writer import FIRST_PAGE, PAGE, Tree, TreeWriter
from hcompress.data.lmdb import COUNT_KEY, DATA_FILE, image_key, label_key
from hcompress.errors import InputRefused, UsageError
from hcompress.strict.files import chunks, require_regular
from hcompress.strict.json import strict_json
from hcompress.strict.read import read

JOURNAL: Final = "journal"
_MOST_OF_A_LINE: Final = 2**28


@dataclass(frozen=True)
class _Begun:
    """The journal's first line."""

    identity: str
    """What the LMDB is made from."""


@dataclass(frozen=True)
class _Chunk:
    """Any other line of the journal: samples from where the one before ends."""

    stop: int
    page: int
    """The first page that is not its own or an earlier chunk's."""
    overflow: int
    leaves: tuple[tuple[str, int], ...]
    texts: tuple[str, ...]
    sha256: str
    """Of its pages."""


Entry = TypeVar("Entry", _Begun, _Chunk)


class Partial:
    """The folder, open for one writer; its samples in order, then `finish`.

    Raises UsageError if it is half of another LMDB.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder
        self._identity = identity
        self._tree = Tree()
        self._page = FIRST_PAGE
        self._data = _opened(folder / DATA_FILE)
        self._journal = _opened(folder / JOURNAL)
        self.done = 0
        """Samples that are there."""
        self.damaged = False
        """Whether more were there, and are not what they were."""

    def __enter__(self) -> Self:
        try:
            self._recover()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def append(self, images: Sequence[bytes], texts: Sequence[str]) -> None:
        """Add a chunk: its pages, then its line in the journal."""
        hashed = _Hashed(self._data)
        writer = TreeWriter(hashed, self._page, self._tree)
        leaves, overflow = len(self._tree.leaves), self._tree.overflow
        for number, image in enumerate(images, self.done + 1):
            writer.put(image_key(number), image)
        writer.end_leaf()
        self._data.flush()
        chunk = _Chunk(
            self.done + len(images),
            writer.page,
            self._tree.overflow - overflow,
            tuple((key.decode(), page) for key, page in self._tree.leaves[leaves:]),
            tuple(texts),
            hashed.sha256.hexdigest(),
        )
        self._journal.write(_line(chunk))
        self._journal.flush()
        self.done, self._page = chunk.stop, chunk.page

    def finish(self) -> None:
        """Write labels, count and the pages above; then only the LMDB's file is left."""
        writer = TreeWriter(self._data, self._page, self._tree)
        self._journal.seek(0)
        number = 0
        for line in _lines(self._journal):
            chunk = _read(_Chunk, line)
            for text in () if chunk is None else chunk.texts:
                number += 1
                writer.put(label_key(number), text.encode())
        if number != self.done:
            raise InputRefused(f"{self._folder}: the journal changed while it was written")
        writer.put(COUNT_KEY, b"%d" % number)
        writer.finish()
        self._data.flush()
        os.fsync(self._data.fileno())
        for other in (JOURNAL, "lock.mdb"):  # an older release's half has a lock of liblmdb's
            (self._folder / other).unlink(missing_ok=True)

    def _recover(self) -> None:
        """Take up what is whole, and cut off the rest."""
        lines = _lines(self._journal)
        begun = _read(_Begun, next(lines, b""))
        kept = 0
        if begun is not None:
            if begun.identity != self._identity:
                raise UsageError(
                    f"{self._folder}: half-written from other data or for another count; remove"
                    " it, or give another name"
                )
            kept = len(_line(begun))
            for line in lines:
                chunk = _read(_Chunk, line)
                if chunk is None or not self._holds(chunk):
                    break
                self._take(chunk)
                kept += len(line)
        self.damaged = self._journal.seek(0, os.SEEK_END) > kept
        self._journal.truncate(kept)
        self._data.truncate(self._page * PAGE)
        self._journal.seek(kept)
        self._data.seek(self._page * PAGE)
        if not kept:
            self._journal.write(_line(_Begun(self._identity)))

    def _holds(self, chunk: _Chunk) -> bool:
        """Whether the chunk follows on what is there, and its pages are what they were."""
        count = chunk.stop - self.done
        if count < 1 or count != len(chunk.texts) or chunk.page <= self._page:
            return False
        whole = hashlib.sha256()
        start, size = self._page * PAGE, (chunk.page - self._page) * PAGE
        with suppress(InputRefused):  # cut short
            for part in chunks(self._data, start, size, self._folder / DATA_FILE):
                whole.update(part)
        return whole.hexdigest() == chunk.sha256

    def _take(self, chunk: _Chunk) -> None:
        self._tree.entries += len(chunk.texts)
        self._tree.overflow += chunk.overflow
        self._tree.leaves += [(key.encode(), page) for key, page in chunk.leaves]
        self.done, self._page = chunk.stop, chunk.page

    def _close(self) -> None:
        self._data.close()
        self._journal.close()


class _Hashed:
    """Writes on, and takes the digest of all that is written."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes, /) -> None:
        self.sha256.update(data)
        self._stream.write(data)

    def seek(self, offset: int, /) -> None:
        self._stream.seek(offset)


def _opened(path: Path) -> BinaryIO:
    """For reading and writing, made if it is missing; no link is followed, no pipe waited for."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(path, flags, 0o666)
    try:
        require_regular(path, os.fstat(handle).st_mode, "a file of ours")
    except InputRefused:
        os.close(handle)
        raise
    return os.fdopen(handle, "r+b")


def _line(entry: _Begun | _Chunk) -> bytes:
    text = json.dumps(asdict(entry), separators=(",", ":")).encode()
    return hashlib.sha256(text).hexdigest().encode() + b" " + text + b"\n"


def _lines(journal: BinaryIO) -> Iterator[bytes]:
    while line := journal.readline(_MOST_OF_A_LINE):
        yield line


def _read(kind: type[Entry], line: bytes) -> Entry | None:
    """What the line says, or None if it is not a whole one of that kind."""
    digest, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or hashlib.sha256(text).hexdigest().encode() != digest:
        return None
    with suppress(InputRefused):
        return read(kind, strict_json(text, JOURNAL), JOURNAL)
    return None
