"""Writes an LMDB file whose keys come in order: page after page, the same bytes each time.

The format is that of `btree`, as LMDB 0.9 writes it. liblmdb itself takes free pages where it finds
them, so that a file written in two goes has other bytes than one written in one, and it maps what
lies there before it knows that it is whole.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final, Protocol

PAGE: Final = 4096
FIRST_PAGE: Final = 2
"""Behind the two meta pages, which are written last."""
_HEADER: Final = struct.Struct("<QHHHH")
_OVERFLOW_HEADER: Final = struct.Struct("<QHHI")
_NODE: Final = struct.Struct("<HHHH")
_META: Final = struct.Struct("<IIQQ")
_DATABASE: Final = struct.Struct("<IHHQQQQQ")
_BRANCH, _LEAF, _OVERFLOW, _IS_META = 0x01, 0x02, 0x04, 0x08
_BIG_DATA: Final = 0x01
_INTEGER_KEY: Final = 0x08
_NO_PAGE: Final = 2**64 - 1
_LARGEST_NODE: Final = (PAGE - _HEADER.size) // 2 - 2
"""At least two nodes a page; a larger value has pages of its own."""


@dataclass
class Tree:
    """Leaves of the tree that are on disk, and how many pages of each kind there are."""

    leaves: list[tuple[bytes, int]] = field(default_factory=list)
    """First key and page number of each."""
    entries: int = 0
    overflow: int = 0
    branches: int = 0


class Stream(Protocol):
    """What pages are written to."""

    def write(self, data: bytes, /) -> object: ...

    def seek(self, offset: int, /) -> object: ...


class TreeWriter:
    """Puts entries into pages from ``page`` on, where the stream stands. Keys must ascend."""

    def __init__(self, stream: Stream, page: int, tree: Tree) -> None:
        self._stream = stream
        self.page = page
        """The next one."""
        self.tree = tree
        self._nodes: list[tuple[bytes, bytes]] = []
        self._room = PAGE - _HEADER.size

    def put(self, key: bytes, value: bytes) -> None:
        """Add an entry. Nothing of it need be on disk before `end_leaf`."""
        size, flags = len(value), 0
        if _NODE.size + len(key) + size > _LARGEST_NODE:
            value, flags = self._overflow(value), _BIG_DATA
        node = _NODE.pack(size & 0xFFFF, size >> 16, flags, len(key)) + key + value
        self._add(key, node)
        self.tree.entries += 1

    def end_leaf(self) -> None:
        """Write the leaf that is being filled, if any: what follows is on another page."""
        if self._nodes:
            self.tree.leaves.append((self._nodes[0][0], self.page))
            self._write_nodes(_LEAF, [node for _, node in self._nodes])
            self._nodes, self._room = [], PAGE - _HEADER.size

    def finish(self) -> None:
        """Write the branches and the meta pages."""
        self.end_leaf()
        level, depth = self.tree.leaves, 1 if self.tree.leaves else 0
        leaves = len(level)
        while len(level) > 1:
            level, depth = self._branches(level), depth + 1
        root = level[0][1] if level else _NO_PAGE
        tree = self.tree
        pages = (tree.branches, leaves, tree.overflow, tree.entries, root)
        empty = _DATABASE.pack(0, 0, 0, 0, 0, 0, 0, _NO_PAGE)
        self._stream.seek(0)
        self._stream.write(self._meta(0, empty, FIRST_PAGE - 1))
        self._stream.write(self._meta(1, _DATABASE.pack(0, 0, depth, *pages), self.page - 1))

    def _overflow(self, value: bytes) -> bytes:
        """Write pages that hold the value alone; returns what the leaf says of them."""
        first, count = self.page, -(-(_HEADER.size + len(value)) // PAGE)
        header = _OVERFLOW_HEADER.pack(first, 0, _OVERFLOW, count)
        self._stream.write((header + value).ljust(count * PAGE, b"\0"))
        self.page += count
        self.tree.overflow += count
        return struct.pack("<Q", first)

    def _add(self, key: bytes, node: bytes) -> None:
        node += b"\0" * (len(node) % 2)
        if len(node) + 2 > self._room:
            self.end_leaf()
        self._nodes.append((key, node))
        self._room -= len(node) + 2

    def _branches(self, level: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
        """Pages above these, filled alike: a branch must have two at least."""
        node = _NODE.size + max(len(key) for key, _ in level)
        most = (PAGE - _HEADER.size) // (2 + node + node % 2)
        count = -(-len(level) // most)
        above = []
        for place in range(count):
            part = level[place * len(level) // count : (place + 1) * len(level) // count]
            above.append((part[0][0], self.page))
            keys = [b"", *(key for key, _ in part[1:])]  # the first one counts as the lowest
            self._write_nodes(
                _BRANCH,
                [_branch_node(key, page) for key, (_, page) in zip(keys, part, strict=True)],
            )
            self.tree.branches += 1
        return above

    def _write_nodes(self, kind: int, nodes: list[bytes]) -> None:
        upper, places = PAGE, []
        for node in nodes:
            upper -= len(node)
            places.append(upper)
        lower = _HEADER.size + 2 * len(nodes)
        head = _HEADER.pack(self.page, 0, kind, lower, upper)
        head += struct.pack(f"<{len(places)}H", *places)
        self._stream.write(head.ljust(upper, b"\0") + b"".join(reversed(nodes)))
        self.page += 1

    def _meta(self, number: int, main: bytes, last: int) -> bytes:
        header = _HEADER.pack(number, 0, _IS_META, 0, 0)
        free = _DATABASE.pack(PAGE, _INTEGER_KEY, 0, 0, 0, 0, 0, _NO_PAGE)
        meta = _META.pack(0xBEEFC0DE, 1, 0, self.page * PAGE) + free + main
        return (header + meta + struct.pack("<QQ", last, number)).ljust(PAGE, b"\0")


def _branch_node(key: bytes, page: int) -> bytes:
    node = _NODE.pack(page & 0xFFFF, page >> 16 & 0xFFFF, page >> 32, len(key)) + key
    return node + b"\0" * (len(node) % 2)
