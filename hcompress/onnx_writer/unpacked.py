"""Reads weights as a graph stores them: what `Packed.emit` wrote, as it was. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import ModelProto, numpy_helper

from hcompress.errors import InputRefused
from hcompress.onnx_writer.decoders import DOMAIN, planes_of, unpack_planes
from hcompress.onnx_writer.merged import Merged
from hcompress.onnx_writer.packed import (
    Halves,
    LowRank,
    Packed,
    Plain,
    Products,
    Signs,
    Spread,
    Stack,
)
from hcompress.onnx_writer.whole_numbers import Bytes, Ints

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import NodeProto

_SHAPING: Final = ("Transpose", "Reshape")
"""What stands between a decoder and the value that a graph takes."""
_NUMBERS: Final = re.compile(r"(Ints|Levels)([1-8])")


def unpacked(proto: ModelProto, value: str) -> Packed | None:
    """How a graph stores the weight called ``value``; None if it is an initialiser.

    What it gives stands for the same floats, an output channel or a class a row. Raises
    InputRefused if no decoder of ours makes it, or what that is given does not fit.
    """
    reader = _Reader(proto)
    if value in reader.held:
        return None
    try:
        node = reader.makers[value]
        if node.op_type in _SHAPING:
            node = reader.makers[node.input[0]]
        return reader.packed(node.output[0])
    except (KeyError, IndexError, ValueError) as error:
        raise InputRefused(f"damaged: {value} can't be decoded: {error}") from None


class _Reader:
    """A graph's initialisers and who makes what."""

    def __init__(self, proto: ModelProto) -> None:
        self.held = {one.name: one for one in proto.graph.initializer}
        self.makers = {name: node for node in proto.graph.node for name in node.output}

    def array(self, name: str) -> NDArray[Any]:
        return numpy_helper.to_array(self.held[name])

    def packed(self, name: str) -> Packed:
        if name in self.held:
            return Plain(self.array(name).astype(np.float32, copy=False))
        node = self.makers[name]
        if node.domain != DOMAIN:
            if node.op_type == "Transpose":
                numbers, unit = self.makers[node.input[0]].input
                return Bytes(self.array(numbers).reshape(-1), self.array(unit)[0, 0])
            if node.op_type != "Concat":
                raise ValueError(f"a {node.op_type} makes it")
            return Stack(tuple(self.packed(one) for one in node.input))
        numbers = _NUMBERS.fullmatch(node.op_type)
        if numbers is not None:
            return self._ints(node, int(numbers[2]), numbers[1] == "Levels")
        return self._other(node)

    def _other(self, node: NodeProto) -> Packed:
        given = list(node.input)
        if node.op_type == "Halves":
            return Halves(self.array(given[0]))
        if node.op_type == "Products":
            return Products(self.array(given[0]), self.array(given[1]))
        if node.op_type == "Signs":
            shape = self.array(given[1])
            return Signs(_bits(self.array(given[0]), int(shape.prod())).reshape(shape))
        if node.op_type in ("Times", "TimesTransposed"):
            left, right = map(self.packed, given)
            return LowRank(left, right, across=node.op_type == "Times")
        if node.op_type == "Spread":
            live = _bits(self.array(given[1]), int(self.array(given[2])[0]))
            return Spread(self.packed(given[0]), live)
        if node.op_type == "Merged":
            mask = _bits(self.array(given[2]), int(self.array(given[3])[0]))
            chosen, others = map(self.packed, given[:2])
            if (chosen.shape[0], others.shape[0]) != (mask.sum(), (~mask).sum()):
                raise ValueError("its mask is of other rows")
            return Merged(chosen, others, mask)
        raise ValueError(f"{node.op_type} is no decoder")

    def _ints(self, node: NodeProto, bits: int, uneven: bool) -> Ints:
        given = list(node.input)
        widths = planes_of(bits)
        scales, shares = self._scales(given[max(1, len(widths))])
        if bits == 8:
            return Ints(self.array(given[0]), scales, bits, shares)
        count = int(self.array(given[len(widths) + 1])[0])
        planes = [(width, self.array(name)) for width, name in zip(widths, given, strict=False)]
        numbers = unpack_planes(planes, count) - (1 << (bits - 1))
        levels = self.array(given[len(widths) + 2]) if uneven else None
        rows = len(scales if shares is None else shares)
        values = numbers.astype(np.int8).reshape(rows, -1)
        return Ints(values, scales, bits, shares, levels)

    def _scales(self, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
        if name in self.held:
            return self.array(name), None
        units, shares = self.makers[name].input
        return self.array(units), self.array(shares)


def _bits(packed: NDArray[Any], count: int) -> NDArray[np.bool_]:
    return np.unpackbits(packed, count=count, bitorder="little").astype(np.bool_)


def stacked(parts: Sequence[Packed]) -> Packed:
    """One below the other, stacks within taken apart and neighbours in floats joined."""
    flat: list[Packed] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, Stack) else [part])
    made: list[Packed] = []
    for part in flat:
        last = made[-1] if made else None
        if isinstance(part, Halves) and isinstance(last, Halves):
            made[-1] = Halves(np.concatenate([last.values, part.values]))
        elif isinstance(part, Plain) and isinstance(last, Plain):
            made[-1] = Plain(np.concatenate([last.values, part.values]))
        else:
            made.append(part)
    return made[0] if len(made) == 1 else Stack(tuple(made))
