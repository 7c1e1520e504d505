"""Products of integers as products of floats, for files whose activations were rounded too.

onnxruntime's dynamic quantisation rounds what goes into each product, multiplies whole numbers
and scales what comes out. Here the weights are scaled instead, and nothing else is rounded: the
graph that was quantised, with the weights that are left of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

PRODUCTS: Final[Mapping[str, str]] = {"ConvInteger": "Conv", "MatMulInteger": "MatMul"}
"""Products of integers, by what they are of floats."""
LSTM: Final = "DynamicQuantizeLSTM"
_DYNAMIC: Final = "DynamicQuantizeLinear"


def in_floats(proto: ModelProto) -> ModelProto:
    """A copy in which dynamically quantised products are those of floats, where they are written
    as onnxruntime writes them; all others stay as they are."""
    made = ModelProto()
    made.CopyFrom(proto)
    _Rewriting(made).run()
    return made


class _Rewriting:
    """One model's nodes, changed in place: a product, what scales it, and its rounded bias."""

    def __init__(self, made: ModelProto) -> None:
        self._graph = made.graph
        self._held = {one.name: numpy_helper.to_array(one) for one in made.graph.initializer}
        self._makers = {name: node for node in made.graph.node for name in node.output if name}
        self._takers: dict[str, list[NodeProto]] = {}
        for node in made.graph.node:
            for name in node.input:
                self._takers.setdefault(name, []).append(node)
        self._new: dict[str, Floats] = {}

    def run(self) -> None:
        products = [node for node in self._graph.node if node.op_type in PRODUCTS]
        done = [self._product(node) for node in products]
        for node in self._graph.node:
            if node.op_type == LSTM:
                self._lstm(node)
        if all(done):  # what went in is rounded for nobody any more
            self._unrounded()
        kept = [one for one in self._graph.initializer if one.name not in self._new]
        kept += [numpy_helper.from_array(value, name) for name, value in self._new.items()]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)

    def _product(self, node: NodeProto) -> bool:
        """Whether it was one that is known, and has been changed."""
        weight, zero = self._held.get(node.input[1]), self._zero(node)
        (scaled, cast, bias) = self._scaling(node)
        if weight is None or zero is None or scaled is None or cast is None:
            return False
        scale = self._scale(node, scaled)
        if scale is None:
            return False
        value = (weight.astype(np.float32) - zero.astype(np.float32)) * _beside(scale, weight, node)
        self._new[node.input[1]] = value.astype(np.float32)
        node.op_type = PRODUCTS[node.op_type]
        del node.input[2:]
        for one in (scaled, cast):  # F × 1, and a float to a float
            _only(one, one.input[0] if one is cast else cast.output[0])
        if bias is not None:
            self._bias(bias)
        return True

    def _zero(self, node: NodeProto) -> NDArray[np.generic] | None:
        return self._held.get(node.input[3]) if len(node.input) > 3 else np.zeros((), np.float32)

    def _scaling(self, node: NodeProto) -> tuple[NodeProto | None, NodeProto | None, str | None]:
        """The Mul and the Cast behind a product, and the bias that is added before both."""
        bias, name = None, node.output[0]
        after = self._takers.get(name, [])
        if len(after) == 1 and after[0].op_type == "Add":
            bias = next(one for one in after[0].input if one != name)
            after = self._takers.get(after[0].output[0], [])
        if len(after) != 1 or after[0].op_type != "Cast":
            return None, None, None
        behind = self._takers.get(after[0].output[0], [])
        found = behind[0] if len(behind) == 1 and behind[0].op_type == "Mul" else None
        return found, after[0], bias

    def _scale(self, node: NodeProto, scaled: NodeProto) -> Floats | None:
        """The weight's scale: what the activation's is multiplied by."""
        dynamic = self._makers.get(node.input[0])
        if dynamic is None or dynamic.op_type != _DYNAMIC:
            return None
        for name in scaled.input:
            maker = self._makers.get(name)
            if maker is not None and maker.op_type == "Mul" and dynamic.output[1] in maker.input:
                other = next(one for one in maker.input if one != dynamic.output[1])
                held = self._held.get(other)
                return None if held is None else held.astype(np.float32)
        return None

    def _bias(self, name: str) -> None:
        """A bias is rounded to steps of both scales: b / S, Floor, Cast, Reshape. Here it is b."""
        while (node := self._makers.get(name)) is not None and node.op_type != "Div":
            name = node.input[0]
            if node.op_type in ("Floor", "Cast"):
                _only(node, name)
        if node is not None:
            _only(node, node.input[0])

    def _lstm(self, node: NodeProto) -> None:
        given = [*node.input, *[""] * (12 - len(node.input))]
        for place, scale, zero in ((1, 8, 9), (2, 10, 11)):
            if given[place] not in self._held or given[scale] not in self._held:
                return
            weight = self._held[given[place]].astype(np.float32)
            middle = self._held.get(given[zero], np.zeros(1)).astype(np.float32)
            size = self._held[given[scale]].astype(np.float32)
            floats = (weight - _directions(middle)) * _directions(size)
            self._new[given[place]] = np.ascontiguousarray(floats.transpose(0, 2, 1))
        node.op_type, node.domain = "LSTM", ""
        del node.input[:]
        node.input.extend(given[:8])

    def _unrounded(self) -> None:
        for node in self._graph.node:
            if node.op_type == _DYNAMIC:
                quantised = node.output[0]
                _only(node, node.input[0])
                del node.output[1:]
                node.output[0] = quantised


def _only(node: NodeProto, name: str) -> None:
    """Make of it a node that renames."""
    node.op_type = "Identity"
    del node.input[:], node.attribute[:]
    node.input.append(name)


def _beside(scale: Floats, weight: NDArray[np.generic], node: NodeProto) -> Floats:
    """A scale, or one an output channel, in a shape that multiplies the weight."""
    if scale.size == 1 or node.op_type == "MatMulInteger":
        return scale.reshape(-1)[:1] if scale.size == 1 else scale.reshape(-1)
    return scale.reshape(-1, *[1] * (weight.ndim - 1))


def _directions(values: Floats) -> Floats:
    """[directions] or [directions, 4 hidden] beside [directions, inputs, 4 hidden]."""
    return values.reshape(len(values), 1, -1) if values.ndim else values
