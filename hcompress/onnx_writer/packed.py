"""Weights stored in few bits and decoded in the graph, so that no optimiser folds them back.

The decoders are local functions: onnxruntime inlines and folds them when it loads the file, so
that what it then computes costs what the float weights cost; onnxsim and onnxslim leave them alone.
They use operators that mean the same from opset 11 to 21. Torch-free.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from hcompress.onnx_writer.decoders import Body, Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Rows = NDArray[np.intp]


class Packed(ABC):
    """A matrix as it is stored: [rows, columns], an output channel or a class a row."""

    @abstractmethod
    def floats(self) -> Floats:
        """What it stands for, float32 [rows, columns]: bit for bit what the graph decodes, but for
        the order of sums in a product."""

    @abstractmethod
    def emit(self, store: Store) -> str:
        """Write tensors and nodes; the name of the value [rows, columns]."""

    @abstractmethod
    def take(self, rows: Rows) -> Packed:
        """Some of its rows, ascending, as they are stored. At least one."""

    def cut(self, start: int, end: int) -> Packed:
        """Rows in one run, as they are stored."""
        return self.take(np.arange(start, end))

    @property
    def shape(self) -> tuple[int, ...]:
        """What the graph decodes it to."""
        return self.floats().shape

    @property
    def bytes(self) -> int:
        """Bytes of its tensors in a file."""
        store = Store("")
        self.emit(store)
        return sum(len(tensor.raw_data) for tensor in store.tensors)


@dataclass(frozen=True)
class Plain(Packed):
    """Floats as they are: what is stored in another way than its neighbours, or its own rows."""

    values: Floats
    """[rows, columns], or of any other shape."""

    def floats(self) -> Floats:
        return self.values

    def take(self, rows: Rows) -> Plain:
        return Plain(self.values[rows])

    def emit(self, store: Store) -> str:
        return store.tensor("float", self.values)


@dataclass(frozen=True)
class Halves(Packed):
    """FP16."""

    values: NDArray[np.float16]
    """[rows, columns], or of any other shape: alone it stays as it is."""

    def floats(self) -> Floats:
        return self.values.astype(np.float32)

    def take(self, rows: Rows) -> Halves:
        return Halves(self.values[rows])

    def emit(self, store: Store) -> str:
        return store.call("Halves", (store.tensor("half", self.values),), _halves())


def _halves() -> Body:
    body = Body("halves")
    return body.give(body.op("Cast", "halves", to=TensorProto.FLOAT))


@dataclass(frozen=True)
class Products(Packed):
    """Product quantisation: each part of a row is an entry of that part's book."""

    codes: NDArray[np.uint8]
    """[rows, parts]."""
    books: NDArray[np.float16]
    """[parts, entries, columns / parts]."""

    def floats(self) -> Floats:
        rows, parts = self.codes.shape
        picked = self.books.astype(np.float32)[np.arange(parts)[None], self.codes]
        return picked.reshape(rows, -1)

    def take(self, rows: Rows) -> Products:
        return replace(self, codes=self.codes[rows])

    def emit(self, store: Store) -> str:
        inputs = (store.tensor("codes", self.codes), store.tensor("books", self.books))
        return store.call("Products", inputs, _products())


def _products() -> Body:
    body = Body("codes", "books")
    size = body.op("Shape", "books")
    parts = body.op("Slice", size, body.constant((0,)), body.constant((1,)))
    entries = body.op("Slice", size, body.constant((1,)), body.constant((2,)))
    width = body.op("Slice", size, body.constant((2,)), body.constant((3,)))
    flat_shape = body.op("Concat", body.constant((-1,)), width, axis=0)
    flat = body.op("Reshape", body.op("Cast", "books", to=TensorProto.FLOAT), flat_shape)
    # 0, entries, 2 entries, ...: where each part's book begins.
    ones = body.op("Expand", entries, parts)
    starts = body.op("Sub", body.op("CumSum", ones, body.constant(0)), entries)
    places = body.op("Add", body.op("Cast", "codes", to=TensorProto.INT64), starts)
    columns = body.op("Mul", parts, width)
    shape = body.op("Concat", body.constant((-1,)), columns, axis=0)
    return body.give(body.op("Reshape", body.op("Gather", flat, places, axis=0), shape))


@dataclass(frozen=True)
class Signs(Packed):
    """One bit a number."""

    positive: NDArray[np.bool_]
    """[rows, columns]: +1 where it is so, else -1."""

    def floats(self) -> Floats:
        return np.where(self.positive, 1, -1).astype(np.float32)

    def take(self, rows: Rows) -> Signs:
        return Signs(self.positive[rows])

    def emit(self, store: Store) -> str:
        bits = store.tensor("signs", np.packbits(self.positive, bitorder="little"))
        shape = store.tensor("shape", np.array(self.positive.shape, np.int64))
        count = store.tensor("count", np.array([self.positive.size], np.int64))
        return store.call("Signs", (bits, shape, count), _signs())


def _signs() -> Body:
    body = Body("signs", "shape", "count")
    doubled = body.op("Mul", body.numbers([("signs", 1)], "count"), body.constant((2,), np.int32))
    signs = body.op("Sub", doubled, body.constant((1,), np.int32))
    return body.give(body.op("Cast", body.op("Reshape", signs, "shape"), to=TensorProto.FLOAT))


@dataclass(frozen=True)
class LowRank(Packed):
    """A product of two."""

    left: Packed
    """[rows, rank]."""
    right: Packed
    """[columns, rank]; [rank, columns] of those that lie ``across``."""
    across: bool = False

    def floats(self) -> Floats:
        right = self.right.floats()
        made: Floats = self.left.floats() @ (right if self.across else right.T)
        return made

    def take(self, rows: Rows) -> LowRank:
        return replace(self, left=self.left.take(rows))

    def emit(self, store: Store) -> str:
        right = inner(store, "right", self.right)
        left = inner(store, "left", self.left)
        name = "Times" if self.across else "TimesTransposed"
        return store.call(name, (left, right), _times(self.across))


def _times(across: bool) -> Body:
    body = Body("left", "right")
    right = "right" if across else body.op("Transpose", "right", perm=[1, 0])
    return body.give(body.op("MatMul", "left", right))


@dataclass(frozen=True)
class Stack(Packed):
    """Matrices of the same columns, one below the other."""

    parts: tuple[Packed, ...]

    def floats(self) -> Floats:
        return np.concatenate([part.floats() for part in self.parts])

    def take(self, rows: Rows) -> Packed:
        kept: list[Packed] = []
        start = 0
        for part in self.parts:
            end = start + part.shape[0]
            own = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)]
            if len(own):
                kept.append(part.take(own - start))
            start = end
        return kept[0] if len(kept) == 1 else Stack(tuple(kept))

    def emit(self, store: Store) -> str:
        names = [inner(store, str(place), part) for place, part in enumerate(self.parts)]
        return store.op("Concat", *names, axis=0)


@dataclass(frozen=True)
class Spread(Packed):
    """Rows that are stored, at the places of a mask; everywhere else the one row 0."""

    rows: Packed
    """[1 + live, columns]: row 0 stands for all that is not stored."""
    live: NDArray[np.bool_]
    """[rows]."""

    def floats(self) -> Floats:
        return self.rows.floats()[np.where(self.live, np.cumsum(self.live), 0)]

    def take(self, rows: Rows) -> Packed:
        live = np.asarray(self.live[rows], np.bool_)
        stored = np.asarray(np.cumsum(self.live)[rows[live]], np.intp)
        if live.all():
            return self.rows.take(stored)
        first = np.zeros(1, np.intp)
        return Spread(self.rows.take(np.concatenate([first, stored])), live)

    def emit(self, store: Store) -> str:
        rows = inner(store, "rows", self.rows)
        mask = store.tensor("live", np.packbits(self.live, bitorder="little"))
        count = store.tensor("classes", np.array([len(self.live)], np.int64))
        return store.call("Spread", (rows, mask, count), _spread())


def _spread() -> Body:
    body = Body("rows", "live", "count")
    mask = body.numbers([("live", 1)], "count")
    places = body.op("Mul", body.op("CumSum", mask, body.constant(0)), mask)
    return body.give(body.op("Gather", "rows", places, axis=0))


def inner(store: Store, role: str, packed: Packed) -> str:
    """A part of a packed matrix, its tensors under a name of their own."""
    outer, store.name = store.name, f"{store.name}.{role}"
    try:
        return packed.emit(store)
    finally:
        store.name = outer


PACKED_DECODERS: Mapping[str, Callable[[], Body]] = {
    "Halves": _halves,
    "Products": _products,
    "Signs": _signs,
    "Times": partial(_times, True),
    "TimesTransposed": partial(_times, False),
    "Spread": _spread,
}
"""The functions that are written here, by their names."""
