"""Convolutions of a foreign graph, each with what scales and shifts its channels behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Held = Mapping[str, NDArray[Any]]

EPSILON = 1e-5
"""Of a batch normalisation that does not say."""


@dataclass(frozen=True)
class Convolution:
    """factor · (weight * x) + shift, a factor and a shift a channel."""

    node: NodeProto
    factor: Floats
    """[C]."""
    shift: Floats
    """[C]."""
    output: str
    """What the last of its nodes gives."""
    outputs: frozenset[str]
    """What all of them give."""

    @property
    def given(self) -> str:
        return str(self.node.input[0])

    @property
    def weight(self) -> str:
        """The initialiser [C, ...]."""
        return str(self.node.input[1])

    @property
    def plain(self) -> bool:
        """Whether nothing scales its channels."""
        return bool((self.factor == 1).all())


class Graph:
    """A graph's nodes by what they take and give."""

    def __init__(self, graph: GraphProto) -> None:
        self.nodes: Sequence[NodeProto] = graph.node
        self.held = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        self.outputs = {one.name for one in graph.output}
        self.takers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.takers.setdefault(name, []).append(node)

    def behind(self, name: str) -> NodeProto | None:
        """The one node that takes a value which is no output; None if there are others."""
        after = self.takers.get(name, [])
        return after[0] if len(after) == 1 and name not in self.outputs else None


def convolutions(proto: ModelProto) -> Iterator[Convolution]:
    """Those over images whose weight is an initialiser, in the graph's order."""
    graph = Graph(proto.graph)
    for node in graph.nodes:
        weight = graph.held.get(node.input[1]) if node.op_type == "Conv" else None
        if weight is None or weight.ndim != 4 or weight.dtype != np.float32:
            continue
        bias = graph.held.get(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        if len(node.input) > 2 and node.input[2] and bias is None:
            continue
        yield _whole(graph, node, len(weight), bias)


def _whole(graph: Graph, node: NodeProto, channels: int, bias: Floats | None) -> Convolution:
    factor = np.ones(channels, np.float32)
    shift = np.zeros(channels, np.float32) if bias is None else bias.astype(np.float32)
    output, outputs = node.output[0], {node.output[0]}
    while (after := graph.behind(output)) is not None:
        change = _change(after, output, graph.held, channels)
        if change is None:
            break
        factor, shift = factor * change[0], shift * change[0] + change[1]
        output = after.output[0]
        outputs.add(output)
    return Convolution(node, factor, shift, output, frozenset(outputs))


def _change(node: NodeProto, given: str, held: Held, channels: int) -> tuple[Floats, Floats] | None:
    """By what a node multiplies each channel, and what it adds; None if it does another thing."""
    if node.op_type == "BatchNormalization":
        return _normalised(node, held)
    if node.op_type not in ("Add", "Mul") or len(node.input) != 2:
        return None
    other = held.get(node.input[1] if node.input[0] == given else node.input[0])
    by = None if other is None else _by_channel(other, channels)
    if by is None:
        return None
    return (np.ones_like(by), by) if node.op_type == "Add" else (by, np.zeros_like(by))


def _normalised(node: NodeProto, held: Held) -> tuple[Floats, Floats] | None:
    scale, bias, mean, variance = (held.get(name) for name in node.input[1:5])
    if scale is None or bias is None or mean is None or variance is None:
        return None
    said = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    factor = scale / np.sqrt(variance.astype(np.float64) + said.get("epsilon", EPSILON))
    return factor.astype(np.float32), (bias - mean * factor).astype(np.float32)


def _by_channel(values: NDArray[Any], channels: int) -> Floats | None:
    """A constant beside [N, C, H, W] as [C]; None if it differs within a channel."""
    if values.dtype != np.float32:
        return None
    if values.size == 1:
        return np.full(channels, values.reshape(-1)[0], np.float32)
    shape = (1,) * (4 - values.ndim) + values.shape
    if values.ndim > 4 or shape != (1, channels, 1, 1):
        return None
    return np.asarray(values.reshape(-1), np.float32)
