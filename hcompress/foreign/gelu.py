"""GELUs written out in five operators, as the one operator that ONNX has for them since opset 20.

onnxruntime fuses the five by itself, but not where what goes in and comes out is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from hcompress.foreign.opset import raised

if TYPE_CHECKING:
    from numpy.typing import NDArray

SINCE: Final = 20
_CLOSE: Final = 1e-4


class _Gelu(NamedTuple):
    given: str
    output: str
    nodes: tuple[NodeProto, ...]


def with_gelus(proto: ModelProto) -> ModelProto:
    """A copy with one `Gelu` for each x/2 · (1 + erf(x/√2)); the same graph if there is none.

    Raises InputRefused if the graph cannot be brought to the opset that has it.
    """
    if not any(_gelus(proto)):
        return proto
    made = raised(proto, SINCE, "which GELU in one operator needs")
    found = list(_gelus(made))
    gone = {name for one in found for node in one.nodes for name in node.output}
    first = {one.nodes[0].output[0]: one for one in found}
    nodes = []
    for node in made.graph.node:
        name = node.output[0]
        if name in first:
            nodes.append(helper.make_node("Gelu", [first[name].given], [first[name].output]))
        elif name not in gone:
            nodes.append(node)
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def _gelus(proto: ModelProto) -> Iterator[_Gelu]:
    """The chains, written as x / √2, erf, + 1, · x and · ½, the last two in either order."""
    held = {one.name: numpy_helper.to_array(one) for one in proto.graph.initializer}
    makers = {name: node for node in proto.graph.node for name in node.output}
    takers: dict[str, list[NodeProto]] = {}
    for node in proto.graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)

    def only(name: str, kind: str) -> NodeProto | None:
        after = takers.get(name, [])
        return after[0] if len(after) == 1 and after[0].op_type == kind else None

    for erf in proto.graph.node:
        scaled = makers.get(erf.input[0]) if erf.op_type == "Erf" else None
        if scaled is None or len(takers.get(scaled.output[0], [])) != 1:
            continue
        given = _scaled(scaled, held)
        plus = only(erf.output[0], "Add")
        if given is None or plus is None or not _has(plus, held, 1.0):
            continue
        times = only(plus.output[0], "Mul")
        last = only(times.output[0], "Mul") if times is not None else None
        if times is None or last is None:
            continue
        orders = ((times, last), (last, times))
        if any(given in a.input and _has(b, held, 0.5) for a, b in orders):
            yield _Gelu(given, last.output[0], (scaled, erf, plus, times, last))


def _scaled(node: NodeProto, held: Mapping[str, NDArray[np.generic]]) -> str | None:
    """What is divided by √2, or multiplied with 1/√2."""
    wanted = {"Div": math.sqrt(2), "Mul": 1 / math.sqrt(2)}.get(node.op_type)
    if wanted is None or not _has(node, held, wanted):
        return None
    return next((name for name in node.input if name not in held), None)


def _has(node: NodeProto, held: Mapping[str, NDArray[np.generic]], number: float) -> bool:
    """Whether one of what goes in is that constant."""
    there = [held[name] for name in node.input if name in held]
    return any(one.size == 1 and abs(float(one.reshape(-1)[0]) - number) < _CLOSE for one in there)
