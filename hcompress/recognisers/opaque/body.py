"""A foreign graph up to its decision features, as a pure function of images and weights.

What trains it keeps the weights and hands in whatever stands for them: fake-quantised ones, the
originals, or some of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import Tensor

from hcompress.errors import InputRefused
from hcompress.recognisers.opaque.operators import OPERATORS
from hcompress.recognisers.opaque.shape_operators import Attributes, Operator

Seen = Callable[[str, str, Attributes, Tensor], None]
"""Shown what a product with a weight is given: weight, operator, attributes, the other input."""
_ONNX = ("", "ai.onnx")
PRODUCTS = ("Conv", "MatMul", "Gemm")


class Call(NamedTuple):
    """One node of a graph."""

    kind: str
    run: Operator
    given: Attributes
    inputs: tuple[str, ...]
    output: str
    last_use: tuple[str, ...]
    """Values that nobody asks for afterwards."""

    def step(self, values: dict[str, Any]) -> None:
        """Add what it makes to the values by name, and forget what nobody asks for any more."""
        values[self.output] = self.run(self.given, [values[name] for name in self.inputs])
        for name in self.last_use:
            del values[name]


class OpaqueBody:
    """The nodes of a graph from its input to one of its values.

    Raises InputRefused, naming the operator, if torch is not told how to run it.
    """

    def __init__(self, proto: ModelProto, value: str) -> None:
        graph = proto.graph
        self.weights = {
            one.name: torch.from_numpy(numpy_helper.to_array(one).copy())
            for one in graph.initializer
        }
        """Every initialiser by its name."""
        self.value = value
        self._input = next(one.name for one in graph.input if one.name not in self.weights)
        nodes = _fused(_needed(list(graph.node), value), value)
        opset = next((one.version for one in proto.opset_import if one.domain in _ONNX), 0)
        self.calls = _calls(nodes, value, frozenset(self.weights), opset)

    def __call__(
        self,
        images: Tensor,
        weights: Mapping[str, Tensor] | None = None,
        seen: Seen | None = None,
    ) -> Tensor:
        """float [N, C, H, W] -> the value; ``weights`` stand in for those of their names."""
        values = {**self.given(images), **(weights or {})}
        for call in self.calls:
            if seen is not None and self.is_product(call):
                seen(call.inputs[1], call.kind, call.given, values[call.inputs[0]])
            call.step(values)
        made: Tensor = values[self.value]
        return made

    def given(self, images: Tensor) -> dict[str, Any]:
        """The values that the first of its calls may ask for."""
        return {**self.weights, self._input: images, "": None}

    def is_product(self, call: Call) -> bool:
        """Whether it multiplies with a weight of the graph."""
        return call.kind in PRODUCTS and call.inputs[1] in self.weights

    def products(self) -> dict[str, tuple[str, Attributes]]:
        """Weights that are multiplied with, each with its operator and attributes, in order."""
        return {
            call.inputs[1]: (call.kind, call.given) for call in self.calls if self.is_product(call)
        }


def _needed(nodes: list[NodeProto], value: str) -> list[NodeProto]:
    wanted, kept = {value}, []
    for node in reversed(nodes):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    return kept[::-1]


def _fused(nodes: list[NodeProto], value: str) -> list[NodeProto]:
    """x · sigmoid(x) as one call: half of the memory that training keeps."""
    makers = {node.output[0]: node for node in nodes}
    uses: dict[str, int] = {value: 1}
    for node in nodes:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    gone: set[str] = set()
    made = []
    for node in nodes:
        gate = (
            next(
                (
                    makers[name]
                    for name, other in (node.input[:2], node.input[1::-1])
                    if name in makers
                    and makers[name].op_type == "Sigmoid"
                    and makers[name].input[0] == other
                    and uses[name] == 1
                ),
                None,
            )
            if node.op_type == "Mul" and len(node.input) == 2
            else None
        )
        if gate is None:
            made.append(node)
        else:
            gone.add(gate.output[0])
            made.append(helper.make_node("Silu", [gate.input[0]], list(node.output)))
    return [node for node in made if node.output[0] not in gone]


def _calls(nodes: list[NodeProto], value: str, weights: frozenset[str], opset: int) -> list[Call]:
    last: dict[str, int] = {}
    for place, node in enumerate(nodes):
        for name in node.input:
            last[name] = place
    found = []
    for place, node in enumerate(nodes):
        if node.op_type not in OPERATORS or node.domain not in _ONNX:
            raise InputRefused(
                f"operator {node.domain + '.' if node.domain else ''}{node.op_type} of node"
                f" {node.name or node.output[0]!r}: the body can't be trained: it is not known here"
            )
        done = {
            name
            for name in node.input
            if name and name != value and name not in weights and last[name] == place
        }
        found.append(
            Call(
                node.op_type,
                OPERATORS[node.op_type],
                {"opset": opset, **{one.name: _attribute(one) for one in node.attribute}},
                tuple(node.input),
                node.output[0],
                tuple(sorted(done)),
            )
        )
    return found


def _attribute(one: Any) -> Any:
    value = helper.get_attribute_value(one)
    if hasattr(value, "data_type"):
        return torch.from_numpy(numpy_helper.to_array(value).copy())
    return value
