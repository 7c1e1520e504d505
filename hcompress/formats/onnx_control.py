"""Loops and branches of an ONNX graph, and how often a loop turns at most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from hcompress.formats.layout import Control, Piece
from hcompress.formats.protobuf import BYTES, Field, Wire
from hcompress.strict.files import read_exactly

_INPUT, _OPERATOR = 1, 4
_RUNNING: Final = frozenset(("If", "Loop", "Scan", "SequenceMap"))
_LENGTHS: Final = frozenset(map(len, _RUNNING))
_LONGEST: Final = 4096
_COUNT_BYTES: Final = 8


class ControlFlow:
    """Told of every node of a graph as it is walked, in the file's order."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._first: tuple[int, Field] | None = None
        self._found: list[tuple[str, str | None]] = []
        self._counts: dict[str, Piece | None] = {}
        self._made: set[str] = set()

    def initialiser(self, pieces: Sequence[Piece], name: str) -> None:
        """One of the main graph's, which is the last piece unless it lies elsewhere."""
        last = pieces[-1] if pieces and pieces[-1].name == name else None
        known = name not in self._counts and last is not None
        fits = known and last is not None and last.type == "I64" and last.bytes == _COUNT_BYTES
        self._counts[name] = last if fits else None

    def made(self, name: str) -> None:
        """What a node makes: no constant, whatever else is called so."""
        self._made.add(name)

    def node(self, outer: Field, item: Field, *, nested: bool) -> None:
        """A field of a node. The first input comes before the operator in every file written."""
        if item.wire != BYTES:
            return
        if item.number == _INPUT and (self._first is None or self._first[0] != outer.start):
            self._first = outer.start, item
        elif item.number == _OPERATOR and item.end - item.start in _LENGTHS:
            operator = self._wire.text(item, _LONGEST)
            if operator not in _RUNNING:
                return
            own = self._first is not None and self._first[0] == outer.start and not nested
            first = self._first[1] if own and self._first is not None else None
            name = None if first is None or operator != "Loop" else self._wire.text(first, _LONGEST)
            self._found.append((operator, name))

    def found(self, stream: BinaryIO, path: Path) -> Iterator[Control]:
        """Every loop and branch, once the walk is done."""
        for operator, name in self._found:
            piece = None if name is None or name in self._made else self._counts.get(name)
            if piece is None:
                yield Control(operator, None)
                continue
            data = read_exactly(stream, piece.offset, _COUNT_BYTES, path)
            yield Control(operator, int.from_bytes(data, "little", signed=True))
