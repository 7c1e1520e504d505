"""Whole numbers of a few bits with scales: what most packed weights are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from hcompress.onnx_writer.decoders import Body, Store, pack_planes, planes_of
from hcompress.onnx_writer.packed import Packed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from hcompress.compute.rounding import Rounded

    Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Ints(Packed):
    """Whole numbers of a scale a group of neighbours in a row."""

    values: NDArray[np.int8]
    """[rows, columns], from -2^(bits-1) to 2^(bits-1) - 1."""
    scales: NDArray[np.float16]
    """[rows, groups]; groups divide the columns evenly. Beside `shares` [rows, 1] or [1, 1]."""
    bits: int
    shares: NDArray[np.int8] | None = None
    """[rows, groups]: a group's scale is so many of its row's."""
    levels: NDArray[np.float16] | None = None
    """[2^bits], what the numbers stand for, from the least; None: for themselves."""

    @classmethod
    def of(cls, made: Rounded) -> Ints:
        """As they were rounded."""
        held = made.levels
        table = None if held.even else held.table
        return cls(made.values, made.units, held.bits, made.shares, table)

    @property
    def steps(self) -> Floats:
        """[rows, groups]: what 1 stands for."""
        units = self.scales.astype(np.float32)
        return units if self.shares is None else units * self.shares

    @property
    def meant(self) -> Floats:
        """[rows, columns]: what the numbers stand for, before scales."""
        if self.levels is None:
            return self.values.astype(np.float32)
        return self.levels.astype(np.float32)[self.values.astype(np.int16) + len(self.levels) // 2]

    def floats(self) -> Floats:
        rows, columns = self.values.shape
        steps = self.steps
        groups = self.meant.reshape(rows, steps.shape[1], -1)
        return (groups * steps[..., None]).reshape(rows, columns)

    def take(self, rows: NDArray[np.intp]) -> Ints:
        shares = None if self.shares is None else self.shares[rows]
        # One scale may be that of all rows.
        scales = self.scales if len(self.scales) < len(self.values) else self.scales[rows]
        return replace(self, values=self.values[rows], scales=scales, shares=shares)

    def emit(self, store: Store) -> str:
        scales = store.tensor("scale", self.scales)
        if self.shares is not None:
            scales = store.call("Steps", (scales, store.tensor("share", self.shares)), _steps())
        if self.bits == 8:
            codes = store.tensor("int8", self.values)
            return store.call("Ints8", (codes, scales), _ints8())
        planes = pack_planes(self.values.astype(np.int16) + (1 << (self.bits - 1)), self.bits)
        names = [store.tensor(f"plane{width}", data) for width, data in planes]
        count = store.tensor("count", np.array([self.values.size], np.int64))
        if self.levels is None:
            return store.call(f"Ints{self.bits}", (*names, scales, count), _ints(self.bits))
        levels = store.tensor("levels", self.levels)
        return store.call(f"Levels{self.bits}", (*names, scales, count, levels), _levels(self.bits))


@dataclass(frozen=True)
class Bytes(Packed):
    """One whole number of 8 bits a row, all of one unit."""

    values: NDArray[np.int8]
    """[rows]."""
    unit: np.float16

    def floats(self) -> Floats:
        return (self.values.astype(np.float32) * np.float32(self.unit))[:, None]

    def take(self, rows: NDArray[np.intp]) -> Bytes:
        return replace(self, values=self.values[rows])

    def emit(self, store: Store) -> str:
        scale = store.tensor("scale", np.full((1, 1), self.unit))
        row = store.call("Ints8", (store.tensor("int8", self.values[None]), scale), _ints8())
        return store.op("Transpose", row, perm=[1, 0])


def _steps() -> Body:
    body = Body("units", "shares")
    units, shares = (body.op("Cast", one, to=TensorProto.FLOAT) for one in body.inputs)
    return body.give(body.op("Mul", units, shares))


def _ints8() -> Body:
    body = Body("codes", "scales")
    return body.give(_scaled(body, body.op("Cast", "codes", to=TensorProto.FLOAT)))


def _ints(bits: int) -> Body:
    planes = [(f"plane{width}", width) for width in planes_of(bits)]
    body = Body(*(name for name, _ in planes), "scales", "count")
    numbers = body.numbers(planes, "count")
    signed = body.op("Sub", numbers, body.constant((1 << (bits - 1),), np.int32))
    return body.give(_scaled(body, body.op("Cast", signed, to=TensorProto.FLOAT)))


def _levels(bits: int) -> Body:
    planes = [(f"plane{width}", width) for width in planes_of(bits)]
    body = Body(*(name for name, _ in planes), "scales", "count", "levels")
    table = body.op("Cast", "levels", to=TensorProto.FLOAT)
    return body.give(_scaled(body, body.op("Gather", table, body.numbers(planes, "count"), axis=0)))


def _scaled(body: Body, values: str) -> str:
    """Values [rows x columns] in any shape, by their scales [rows, groups] -> [rows, columns]."""
    shape = body.op("Shape", "scales")
    blocks = body.op("Concat", shape, body.constant((-1,)), axis=0)
    grouped = body.op("Reshape", values, blocks)
    factors = body.op("Cast", "scales", to=TensorProto.FLOAT)
    column = body.op("Reshape", factors, body.constant((0, 0, 1)))
    rows = body.op("Slice", shape, body.constant((0,)), body.constant((1,)))
    whole = body.op("Concat", rows, body.constant((-1,)), axis=0)
    return body.op("Reshape", body.op("Mul", grouped, column), whole)


INT_DECODERS: Mapping[str, Callable[[], Body]] = {
    **{f"Ints{bits}": partial(_ints, bits) for bits in range(1, 8)},
    **{f"Levels{bits}": partial(_levels, bits) for bits in range(1, 8)},
    "Ints8": _ints8,
    "Steps": _steps,
}
"""The functions that are written here, by their names."""
