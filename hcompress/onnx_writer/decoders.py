"""Where packed weights are written to: tensors, nodes, and the local functions that decode them.

Local functions are what optimisers leave alone. Their operators mean the same from opset 11 to 21.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import FunctionProto, NodeProto, OperatorSetIdProto, TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

DOMAIN = "hcompress"
PLANES = (4, 2, 1)
"""Widths that divide a byte: a number of 6 bits is one of 4 and one of 2, each packed densely."""


class Store:
    """Where packed tensors are written to: tensors, nodes and functions of a graph."""

    def __init__(self, name: str) -> None:
        self.name = name
        """Tensors are called by it, so that a size breakdown can tell whose they are."""
        self.tensors: list[TensorProto] = []
        self.nodes: list[NodeProto] = []
        self.functions: dict[str, list[NodeProto]] = {}
        self.inputs: dict[str, list[str]] = {}

    def tensor(self, role: str, array: NDArray[Any]) -> str:
        """Store an array, once however often it is asked for; its name."""
        made = numpy_helper.from_array(np.ascontiguousarray(array), f"{self.name}.{role}")
        for there in self.tensors:
            if (there.raw_data, there.dims, there.data_type) == (
                made.raw_data, made.dims, made.data_type,
            ):  # fmt: skip
                return there.name
        if any(there.name == made.name for there in self.tensors):  # weights and biases of a head
            made.name += f".{len(self.tensors)}"
        self.tensors.append(made)
        return made.name

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node with one output; its name."""
        output = f"{self.name}.{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [output], domain=domain or None, **attributes)
        )
        return output

    def call(self, function: str, inputs: Sequence[str], body: Body) -> str:
        """A call of a local function, defined once a file."""
        if function not in self.functions:
            self.functions[function] = body.nodes
            self.inputs[function] = body.inputs
        return self.op(function, *inputs, domain=DOMAIN)

    def protos(self, opsets: Sequence[OperatorSetIdProto]) -> list[FunctionProto]:
        """The functions, for a model of these opsets."""
        return [
            helper.make_function(DOMAIN, name, self.inputs[name], ["y"], nodes, list(opsets))
            for name, nodes in self.functions.items()
        ]


class Body:
    """The nodes of a local function; the last one's output is `y`."""

    def __init__(self, *inputs: str) -> None:
        self.inputs = list(inputs)
        self.nodes: list[NodeProto] = []

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: Sequence[int] | int, kind: Any = np.int64) -> str:
        return self.op("Constant", value=numpy_helper.from_array(np.array(values, kind)))

    def give(self, value: str) -> Body:
        """Call the value `y`: the function's result."""
        self.nodes.append(helper.make_node("Identity", [value], ["y"]))
        return self

    def numbers(self, planes: Sequence[tuple[str, int]], count: str) -> str:
        """int32 [count] from planes of digits (name, bits), the highest bits last."""
        total, place = "", 0
        for name, bits in planes:
            column = self.op(
                "Reshape", self.op("Cast", name, to=TensorProto.INT32), self.constant((-1, 1))
            )
            steps = [1 << (bits * digit) for digit in range(8 // bits)]
            moved = self.op("Div", column, self.constant(steps, np.int32))
            # Mod keeps to non-negative numbers here: its sign convention never matters.
            digits = self.op("Mod", moved, self.constant((1 << bits,), np.int32))
            if place:
                digits = self.op("Mul", digits, self.constant((1 << place,), np.int32))
            flat = self.op("Reshape", digits, self.constant((-1,)))
            # Planes end in whole bytes, each at its own place: cut them before they are added.
            cut = self.op("Slice", flat, self.constant((0,)), count, self.constant((0,)))
            total = self.op("Add", total, cut) if total else cut
            place += bits
        return total


def planes_of(bits: int) -> list[int]:
    """How a number of so many bits is cut: 8 is a byte, 6 is 4 and 2."""
    if bits == 8:
        return []
    if not 1 <= bits <= 7:
        raise ValueError(f"numbers of {bits} bits")
    return [width for width in PLANES if bits & width]


def pack_planes(
    numbers: NDArray[np.integer[Any]], bits: int
) -> list[tuple[int, NDArray[np.uint8]]]:
    """Whole numbers from 0 to 2^bits - 1 as planes (width, bytes), the lowest bits first."""
    flat = numbers.reshape(-1).astype(np.uint8)
    found = []
    place = 0
    for width in planes_of(bits):
        per = 8 // width
        digits = (flat >> place) & ((1 << width) - 1)
        digits = np.concatenate([digits, np.zeros(-len(digits) % per, np.uint8)]).reshape(-1, per)
        shifts = (np.arange(per) * width).astype(np.uint8)
        found.append((width, np.bitwise_or.reduce(digits << shifts, axis=1).astype(np.uint8)))
        place += width
    return found


def unpack_planes(planes: Sequence[tuple[int, NDArray[np.uint8]]], count: int) -> NDArray[np.int16]:
    """The inverse of `pack_planes`: ``count`` numbers, from 0."""
    numbers = np.zeros(count, np.int16)
    place = 0
    for width, data in planes:
        shifts = (np.arange(8 // width) * width).astype(np.uint8)
        digits = (data[:, None] >> shifts) & ((1 << width) - 1)
        numbers += digits.reshape(-1)[:count].astype(np.int16) << place
        place += width
    return numbers
