"""Nodes and tensors of one ONNX graph, under short names.

Weights keep the names they have in a checkpoint, so that a size breakdown can group them; every
other value gets a name of two or three letters, because names are bytes too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from hcompress.spec.config import SCALE
from hcompress.spec.header import KEY

OPSET = 20
IR_VERSION = 9
"""What opset 20 came with; onnxruntime refuses the newest one that onnx writes by default."""
DOMAIN = "hcompress"
PRODUCER = "hcompress"
Body = Callable[[], tuple[list[str], list[onnx.NodeProto]]]
"""Writes a function: the names of what it takes, and its nodes, the last of which gives `y`."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass
class _Shared:
    """What a graph and its loop bodies have in common."""

    weights: Mapping[str, Tensor]
    store_half: bool
    initialisers: dict[str, TensorProto] = field(default_factory=dict)
    constants: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)
    converted: dict[tuple[str, int], str] = field(default_factory=dict)
    functions: dict[str, Body] = field(default_factory=dict)
    count: int = 0


class Graph:
    """A graph being written. Values are their names.

    ``weights`` are a model's state by name, as `Checkpoint.stored` gives it. With ``store_half``
    a float tensor is stored as FP16 where that loses nothing, which is every tensor that a FP16
    checkpoint holds as FP16.
    With ``half`` the network computes in FP16, but for the places that ask for float32.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], *, store_half: bool, half: bool = False
    ) -> None:
        self.half = half
        self.nodes: list[onnx.NodeProto] = []
        self._root: Graph = self
        self._shared = _Shared(weights, store_half)

    @property
    def initialisers(self) -> list[TensorProto]:
        return list(self._shared.initialisers.values())

    @property
    def unused(self) -> set[str]:
        """Weights that no node has asked for."""
        return set(self._shared.weights) - set(self._shared.initialisers)

    @property
    def kind(self) -> int:
        """The type the network computes in."""
        return int(TensorProto.FLOAT16 if self.half else TensorProto.FLOAT)

    def body(self) -> Graph:
        """A loop body: nodes of its own; weights and constants are those of the whole graph."""
        inner = copy.copy(self)
        inner.nodes = []
        return inner

    def name(self) -> str:
        """A name nothing else has: base 36, after a letter."""
        self._shared.count += 1
        number, text = self._shared.count, ""
        while number:
            number, digit = divmod(number, 36)
            text = _DIGITS[digit] + text
        return "v" + text

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """One node with one output, which is returned."""
        return self.ops(kind, *inputs, outputs=1, domain=domain, **attributes)[0]

    def ops(
        self, kind: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any
    ) -> list[str]:
        """One node with several outputs."""
        names = [self.name() for _ in range(outputs)]
        # make_node sorts attributes by name: their order is the same in every run.
        self.nodes.append(
            helper.make_node(kind, list(inputs), names, domain=domain or None, **attributes)
        )
        return names

    def rename(self, value: str, name: str) -> None:
        """Call the output ``value`` of a node ``name``: a graph's outputs have fixed names."""
        for node in self.nodes:
            for place, output in enumerate(node.output):
                if output == value:
                    node.output[place] = name
            for place, taken in enumerate(node.input):
                if taken == value:
                    node.input[place] = name

    def constant(self, array: NDArray[Any], name: str | None = None) -> str:
        """A tensor that is no weight; equal ones are stored once."""
        shared = self._shared
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in shared.constants:
            stored = name or self.name()
            shared.initialisers[stored] = numpy_helper.from_array(array, stored)
            shared.constants[key] = stored
        return shared.constants[key]

    def ints(self, *values: int) -> str:
        """A constant int64 vector."""
        return self.constant(np.array(values, np.int64))

    def number(self, value: float, kind: int = TensorProto.FLOAT) -> str:
        """A constant scalar of an ONNX type."""
        return self.constant(np.array(value, helper.tensor_dtype_to_np_dtype(kind)))

    def floats(self, value: float) -> str:
        """A constant scalar of the type the network computes in."""
        return self.number(value, self.kind)

    def raw(self, name: str) -> str:
        """A weight as it is stored."""
        shared = self._shared
        if name not in shared.initialisers:
            tensor = shared.weights[name].detach().cpu().contiguous()
            if shared.store_half and tensor.is_floating_point():
                tensor = halved_if_exact(tensor)
            shared.initialisers[name] = numpy_helper.from_array(tensor.numpy(), name)
        return name

    def weight(self, name: str, kind: int | None = None) -> str:
        """A weight as ``kind``, or as the type the network computes in.

        The conversion is written once, outside any loop, and inside a function of the file:
        tools that fold constants leave functions alone, so the weight stays as small as it is.
        """
        self.raw(name)
        shared, wanted = self._shared, self.kind if kind is None else kind
        if shared.initialisers[name].data_type == wanted:
            return name
        key = (name, wanted)
        if key not in shared.converted:
            shared.converted[key] = self._root._converted(name, wanted)
        return shared.converted[key]

    def _converted(self, name: str, wanted: int) -> str:
        if self.is_int8(name):
            return self.call("Scaled", name, self.weight(name + SCALE, wanted))
        return self.call("Widen" if wanted == TensorProto.FLOAT else "Narrow", name)

    def is_int8(self, name: str) -> bool:
        """Whether a weight is stored as int8, with a scale a row."""
        return name + SCALE in self._shared.weights

    def joined(self, *names: str) -> str:
        """Float weights one below the other, as one: a product with all is faster than three.

        Inside a function, so that no tool folds the copy into the file; a session does at load.
        """
        shared, key = self._shared, (" ".join(names), self.kind)
        if key not in shared.converted:
            parts = [self.weight(name) for name in names]
            shared.converted[key] = self._root.call(f"Join{len(parts)}", *parts)
        return shared.converted[key]

    def to(self, value: str, kind: int) -> str:
        return self.op("Cast", value, to=kind)

    def widened(self, value: str) -> str:
        """A value of the network as float32."""
        return self.to(value, TensorProto.FLOAT) if self.half else value

    def narrowed(self, value: str) -> str:
        """A float32 value as the type the network computes in."""
        return self.to(value, TensorProto.FLOAT16) if self.half else value

    def call(self, function: str, *inputs: str, body: Body | None = None) -> str:
        """A call of a function, which travels in the file; ``body`` writes one that is not here.

        What a function computes no tool folds, not even from constants alone: the file stays
        as small as it is. Here are `Join3`, which puts three tensors one below the other,
        `Scaled`, which multiplies int8 [out, ...] with scales [out], `Widen` and `Narrow`.
        """
        self._shared.functions.setdefault(function, body or _FUNCTIONS[function])
        return self.op(function, *inputs, domain=DOMAIN)

    def model(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        metadata: str,
    ) -> onnx.ModelProto:
        """The finished file."""
        known = self._shared.functions
        functions = [_function(name, known[name]) for name in sorted(known)]
        graph = helper.make_graph(
            self.nodes, PRODUCER, list(inputs), list(outputs), initializer=self.initialisers
        )
        opsets = [helper.make_opsetid("", OPSET)]
        if functions:
            opsets.append(helper.make_opsetid(DOMAIN, 1))
        model = helper.make_model(
            graph, producer_name=PRODUCER, functions=functions, opset_imports=opsets
        )
        model.ir_version = IR_VERSION
        helper.set_model_props(model, {KEY: metadata})
        return model


def halved_if_exact(tensor: Tensor) -> Tensor:
    """As FP16 where every element comes back the same, else as it is."""
    half = tensor.to(torch.float16)
    return half if bool((half.to(tensor.dtype) == tensor).all()) else tensor


def value(name: str, kind: int, shape: Iterable[int | str] | None) -> onnx.ValueInfoProto:
    """An input or output of a graph; texts are dimensions known at run time."""
    return helper.make_tensor_value_info(name, kind, None if shape is None else list(shape))


def _function(name: str, body: Body) -> onnx.FunctionProto:
    inputs, nodes = body()
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_function(DOMAIN, name, inputs, ["y"], nodes, opset)


def _join(count: int) -> tuple[list[str], list[onnx.NodeProto]]:
    parts = list("abcdefgh"[:count])
    return parts, [helper.make_node("Concat", parts, ["y"], axis=0)]


def _scaled() -> tuple[list[str], list[onnx.NodeProto]]:
    # No DequantizeLinear: onnxruntime does that at every image, and this once, when it loads.
    # Turned round, the channels come last, where a vector is multiplied along.
    return ["x", "s"], [
        helper.make_node("CastLike", ["x", "s"], ["f"]),
        helper.make_node("Transpose", ["f"], ["t"]),
        helper.make_node("Mul", ["t", "s"], ["p"]),
        helper.make_node("Transpose", ["p"], ["y"]),
    ]


def _cast(kind: int) -> tuple[list[str], list[onnx.NodeProto]]:
    return ["x"], [helper.make_node("Cast", ["x"], ["y"], to=kind)]


_FUNCTIONS: Mapping[str, Body] = {
    "Join3": lambda: _join(3),
    "Narrow": lambda: _cast(TensorProto.FLOAT16),
    "Scaled": _scaled,
    "Widen": lambda: _cast(TensorProto.FLOAT),
}
