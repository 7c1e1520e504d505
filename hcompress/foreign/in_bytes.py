"""A graph with some of its values rounded to bytes: QuantizeLinear, DequantizeLinear around them.

So written, onnxruntime and others compute convolutions between such values in whole numbers of
eight bits; who does not know that computes the same in floats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from hcompress.foreign.convolutions import Convolution
from hcompress.foreign.rename import BODY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.compute.grids import Grid

    Floats = NDArray[np.float32]

SINCE: Final = 13
"""The opset that brought a scale a channel."""
WEIGHT_MOST: Final = 127
_BIAS_MOST: Final = 2**31 - 128
_LEAST: Final = 1e-12


def in_bytes(
    proto: ModelProto,
    grids: Mapping[str, Grid],
    convolutions: Mapping[str, Convolution],
    decoded: frozenset[str] = frozenset(),
) -> ModelProto:
    """A copy of the graph, of opset 13 or later, with the values of ``grids`` in bytes.

    ``convolutions``, by what the last of their nodes gives, get weights of eight bits a channel;
    their inputs and what they give, or a Relu makes of it, are in ``grids``. Weights in
    ``decoded`` are no initialisers of the file that is to be: they are rounded in the graph.
    """
    return _Writing(proto, grids, convolutions, decoded).made()


class _Writing:
    def __init__(
        self,
        proto: ModelProto,
        grids: Mapping[str, Grid],
        convolutions: Mapping[str, Convolution],
        decoded: frozenset[str],
    ) -> None:
        self._proto, self._grids, self._decoded = proto, grids, decoded
        self._held = {one.name: numpy_helper.to_array(one) for one in proto.graph.initializer}
        self._whole = {one.node.output[0]: one for one in convolutions.values()}
        self._inner = {name for one in convolutions.values() for name in one.outputs}
        self._nodes: list[NodeProto] = []
        self._new: dict[str, NDArray[Any]] = {}
        self._read = 0

    def made(self) -> ModelProto:
        for one in self._proto.graph.input:
            self._rounded(one.name)
        for node in self._proto.graph.node:
            whole = self._whole.get(node.output[0])
            if whole is not None:
                self._convolution(whole)
            elif node.output[0] not in self._inner:
                self._other(node)
        made = ModelProto()
        made.CopyFrom(self._proto)
        taken = {name for node in self._nodes for name in node.input}
        taken |= {one.name for one in made.graph.output}
        kept = [one for one in made.graph.initializer if one.name in taken]
        new = [numpy_helper.from_array(value, name) for name, value in self._new.items()]
        del made.graph.node[:], made.graph.initializer[:]
        made.graph.node.extend(self._nodes)
        made.graph.initializer.extend([*kept, *new])
        return made

    def _other(self, node: NodeProto) -> None:
        made = NodeProto()
        made.CopyFrom(node)
        shared = {name: self._as_float(name) for name in dict.fromkeys(node.input)}
        del made.input[:]
        made.input.extend(shared[name] for name in node.input)
        self._nodes.append(made)
        for name in node.output:
            self._rounded(name)

    def _convolution(self, one: Convolution) -> None:
        step = self._grids[one.given].scale
        inputs = [self._as_float(one.given), *self._weight(one, step)]
        made = NodeProto()
        made.CopyFrom(one.node)
        del made.input[:], made.output[:]
        made.input.extend(inputs)
        made.output.append(one.output)
        self._nodes.append(made)
        self._rounded(one.output)

    def _weight(self, one: Convolution, step: float) -> list[str]:
        """Weight and bias, as floats again."""
        weight = self._held[one.weight] * one.factor[:, None, None, None]
        largest = np.abs(weight.reshape(len(weight), -1)).max(1)
        scales = np.maximum(largest / WEIGHT_MOST, _LEAST).astype(np.float32)
        name = f"{one.weight}.{one.output}"
        scale = self._hold(f"{name}.s", scales)
        zero = self._hold(f"{name}.z", np.zeros(len(scales), np.int8))
        if one.weight in self._decoded:
            floats = one.weight
            if not one.plain:
                factor = self._hold(f"{name}.f", one.factor[:, None, None, None])
                floats = self._op("Mul", [floats, factor], f"{name}.m")
            numbers = self._op("QuantizeLinear", [floats, scale, zero], f"{name}.q", axis=0)
        else:
            whole = np.clip(
                np.rint(weight / scales[:, None, None, None]), -WEIGHT_MOST, WEIGHT_MOST
            )
            numbers = self._hold(f"{name}.q", whole.astype(np.int8))
        made = [self._op("DequantizeLinear", [numbers, scale, zero], f"{name}.d", axis=0)]
        if one.shift.any():
            steps = (np.float32(step) * scales).astype(np.float32)
            whole = np.clip(np.rint(one.shift.astype(np.float64) / steps), -_BIAS_MOST, _BIAS_MOST)
            bias = [
                self._hold(f"{name}.b", whole.astype(np.int32)),
                self._hold(f"{name}.bs", steps),
            ]
            made.append(self._op("DequantizeLinear", bias, f"{name}.bd", axis=0))
        return made

    def _grid(self, name: str) -> list[str]:
        held = self._grids[name]
        return [
            self._hold(f"{BODY}.{name}.s", np.float32(held.scale)),
            self._hold(f"{BODY}.{name}.z", np.uint8(held.zero)),
        ]

    def _rounded(self, name: str) -> None:
        if name in self._grids:
            self._op("QuantizeLinear", [name, *self._grid(name)], f"{name}.q")

    def _as_float(self, name: str) -> str:
        """The value for one taker: onnxruntime wants one reading back for each."""
        if name not in self._grids:
            return name
        self._read += 1
        inputs = [f"{name}.q", *self._grid(name)]
        return self._op("DequantizeLinear", inputs, f"{name}.r{self._read}")

    def _hold(self, name: str, value: NDArray[Any] | np.generic) -> str:
        self._new[name] = np.asarray(value)
        return name

    def _op(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output
