"""Reads LMDB files without liblmdb, which trusts them: a bad page number there is a crash.

The format is that of LMDB 0.9 (data version 1) on 64-bit little-endian machines: two meta
pages, then a B+tree of branch, leaf and overflow pages. Every offset is checked against the
page, every page number against the file, and the file is read, not mapped, so that one cut
short under us is an error and not a signal.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

from hcompress.errors import InputRefused
from hcompress.stand_in import START
from hcompress.strict.files import refuse_stand_in, require_regular, stat_of

_MAGIC = 0xBEEFC0DE
_VERSION = 1
_HEADER = struct.Struct("<QHHHH")
"""Page number, padding, flags, then lower and upper bound (or the overflow's page count)."""
_META = struct.Struct("<IIQQ48s48sQQ")
_DATABASE = struct.Struct("<IHHQQQQQ")
_NODE = struct.Struct("<HHHH")
_BRANCH, _LEAF, _OVERFLOW = 0x01, 0x02, 0x04
_KINDS = 0x7F & ~0x10
"""All kinds of page; 0x10 only says that a page was being written."""
_BIG_DATA = 0x01
_NO_PAGE = 2**64 - 1
_MAX_DEPTH = 32
MAX_VALUE = 256 * 2**20


class _Tree(NamedTuple):
    root: int
    entries: int
    transaction: int


class BTree:
    """The main database of one data.mdb, by key. Picklable; opened anew in each process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None
        self._page_size, self._pages, self._tree = self._read_metas()

    def __len__(self) -> int:
        return self._tree.entries

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_handle": None}

    def __del__(self) -> None:
        handle = self.__dict__.get("_handle")
        if handle is not None:
            os.close(handle)

    def get(self, key: bytes) -> bytes | None:
        """The value of ``key``, or None. Raises InputRefused where the file is damaged."""
        number = self._tree.root
        if number == _NO_PAGE:
            return None
        for _ in range(_MAX_DEPTH):
            page = _Page(self, number, self._read(number * self._page_size, self._page_size))
            if page.kind == _LEAF:
                return self._value(page, key)
            if page.kind != _BRANCH:
                raise self.damaged(f"page {number} is neither branch nor leaf")
            number = page.child(key)
        raise self.damaged(f"a tree deeper than {_MAX_DEPTH} pages")

    def damaged(self, what: str) -> InputRefused:
        return InputRefused(f"{self.path}: damaged LMDB: {what}; copy or make it again")

    def _value(self, page: _Page, key: bytes) -> bytes | None:
        place, exact = page.find(key)
        if not exact:
            return None
        flags, size, start = page.leaf(place)
        if flags & ~_BIG_DATA:
            raise self.damaged(f"page {page.number} holds duplicates or a database in a database")
        if not flags & _BIG_DATA:
            return page.cut(start, size)
        (number,) = struct.unpack("<Q", page.cut(start, 8))
        return self._overflow(number, size)

    def _overflow(self, number: int, size: int) -> bytes:
        if size > MAX_VALUE:
            raise self.damaged(f"a value of {size} bytes")
        first = self._read(number * self._page_size, _HEADER.size)
        held, _, flags, low, high = _HEADER.unpack(first)
        pages = low | high << 16
        if held != number or flags & _KINDS != _OVERFLOW:
            raise self.damaged(f"page {number} is no overflow page")
        if _HEADER.size + size > pages * self._page_size:
            raise self.damaged(f"a value of {size} bytes in {pages} pages")
        return self._read(number * self._page_size + _HEADER.size, size)

    def _read(self, offset: int, size: int) -> bytes:
        if offset < 0 or offset + size > self._pages * self._page_size:
            raise self.damaged(f"a page outside the file (byte {offset})")
        data = self._pread(offset, size)
        if len(data) != size:
            raise self.damaged(f"cut short at byte {offset + len(data)}")
        return data

    def _pread(self, offset: int, size: int) -> bytes:
        if self._handle is None:
            # O_NONBLOCK: a pipe in the file's place must not hang whoever opens it.
            self._handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            require_regular(self.path, os.fstat(self._handle).st_mode, "an LMDB")
        return os.pread(self._handle, size, offset)

    def _read_metas(self) -> tuple[int, int, _Tree]:
        """Page size, pages in use, and the newer of the two trees."""
        status = stat_of(self.path)
        require_regular(self.path, status.st_mode, "an LMDB")
        size = status.st_size
        refuse_stand_in(self._pread(0, START), self.path)
        page_size = self._page_size_of(self._pread(0, _HEADER.size + _META.size))
        trees = []
        for place in (0, page_size):
            tree, last = self._read_meta(self._pread(place, _HEADER.size + _META.size))
            if (last + 1) * page_size > size:
                raise self.damaged(
                    f"cut short: {size} bytes, but its pages take {(last + 1) * page_size}"
                )
            trees.append((tree.transaction, last + 1, tree))
        _, pages, tree = max(trees)
        return page_size, pages, tree

    def _page_size_of(self, meta: bytes) -> int:
        self._read_meta(meta)
        page_size = int(_DATABASE.unpack_from(meta, _HEADER.size + 24)[0])
        if not 512 <= page_size <= 65536 or page_size & (page_size - 1):
            raise self.damaged(f"a page size of {page_size}")
        return page_size

    def _read_meta(self, page: bytes) -> tuple[_Tree, int]:
        if len(page) < _HEADER.size + _META.size:
            raise InputRefused(f"{self.path}: not an LMDB file: too short")
        magic, version, _, _, _, main, last, transaction = _META.unpack_from(page, _HEADER.size)
        if magic != _MAGIC:
            raise InputRefused(f"{self.path}: not an LMDB file of a 64-bit little-endian machine")
        if version != _VERSION:
            raise InputRefused(
                f"{self.path}: LMDB data version {version}; this release reads {_VERSION}:"
                " dump and load it with LMDB 0.9"
            )
        _, flags, _, _, _, _, entries, root = _DATABASE.unpack(main)
        if flags & 0x7FFF:
            raise InputRefused(
                f"{self.path}: keys are duplicated, reversed or integers; plain"
                " keys such as image-000000001 are wanted"
            )
        return _Tree(root, entries, transaction), last


class _Page:
    """A branch or leaf page whose offsets are checked as they are followed."""

    def __init__(self, tree: BTree, number: int, data: bytes) -> None:
        self.number = number
        self._tree = tree
        self._data = data
        held, _, flags, lower, _ = _HEADER.unpack_from(data)
        if held != number or not _HEADER.size <= lower <= len(data):
            raise tree.damaged(f"page {number} has a broken header")
        self.kind = flags & _KINDS
        self._nodes = struct.unpack_from(f"<{(lower - _HEADER.size) // 2}H", data, _HEADER.size)
        if not self._nodes:
            raise tree.damaged(f"page {number} is empty")

    def cut(self, start: int, size: int) -> bytes:
        if start + size > len(self._data):
            raise self._tree.damaged(f"page {self.number} has a node outside itself")
        return self._data[start : start + size]

    def _node(self, place: int) -> tuple[int, int, int, bytes]:
        """Two size (or page number) halves, flags, and the key."""
        start = self._nodes[place]
        low, high, flags, length = _NODE.unpack(self.cut(start, _NODE.size))
        return low, high, flags, self.cut(start + _NODE.size, length)

    def find(self, key: bytes, first: int = 0) -> tuple[int, bool]:
        """The first node from ``first`` on whose key is not below ``key``; whether it's equal."""
        low, high = first, len(self._nodes)
        while low < high:
            middle = (low + high) // 2
            if self._node(middle)[3] < key:
                low = middle + 1
            else:
                high = middle
        return low, low < len(self._nodes) and self._node(low)[3] == key

    def child(self, key: bytes) -> int:
        """The page below a branch page where ``key`` must be. Its first key counts as lowest."""
        place, exact = self.find(key, first=1)
        low, high, flags, _ = self._node(place if exact else place - 1)
        return low | high << 16 | flags << 32

    def leaf(self, place: int) -> tuple[int, int, int]:
        """Flags, the value's size, and where in the page it starts."""
        low, high, flags, key = self._node(place)
        return flags, low | high << 16, self._nodes[place] + _NODE.size + len(key)
