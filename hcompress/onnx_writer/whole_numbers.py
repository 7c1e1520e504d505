"""Whole numbers of a few bits with scales: what most packed weights are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from hcompress.onnx_writer.decoders import Body, Store, pack_planes, planes_of
from hcompress.onnx_writer.packed import Packed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Ints(Packed):
    """Whole numbers of a scale a group of neighbours in a row."""

    values: NDArray[np.int8]
    """[rows, columns], from -2^(bits-1) to 2^(bits-1) - 1."""
    scales: NDArray[np.float16]
    """[rows, groups]; groups divide the columns evenly. Or [rows, 1] beside `shares`."""
    bits: int
    shares: NDArray[np.int8] | None = None
    """[rows, groups]: a group's scale is so many of its row's."""

    @property
    def steps(self) -> Floats:
        """[rows, groups]: what 1 stands for."""
        units = self.scales.astype(np.float32)
        return units if self.shares is None else units * self.shares

    def floats(self) -> Floats:
        rows, columns = self.values.shape
        steps = self.steps
        groups = self.values.reshape(rows, steps.shape[1], -1).astype(np.float32)
        return (groups * steps[..., None]).reshape(rows, columns)

    def cut(self, start: int, end: int) -> Ints:
        shares = None if self.shares is None else self.shares[start:end]
        return Ints(self.values[start:end], self.scales[start:end], self.bits, shares)

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
        return store.call(f"Ints{self.bits}", (*names, scales, count), _ints(self.bits))


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
    "Ints8": _ints8,
    "Steps": _steps,
}
"""The functions that are written here, by their names."""
