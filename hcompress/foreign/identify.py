"""Finds the classifier in a graph by its structure: the last product onto V columns.

What lies behind it says what the output holds. Names and declared shapes are not believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from onnx import ModelProto, NodeProto, TensorProto, helper

from hcompress.errors import InputRefused
from hcompress.foreign.graph import Wiring, wiring
from hcompress.foreign.model import Classifier
from hcompress.spec.foreign import Answers

_ANSWERS: Final = {
    "Softmax": Answers.PROBABILITIES,
    "LogSoftmax": Answers.LOG_PROBABILITIES,
    "ArgMax": Answers.IDS,
}
_SHAPING: Final = frozenset(
    ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten", "Cast")
)
"""Nodes that move numbers about and change none."""
PRODUCTS: Final = frozenset(("MatMul", "Gemm", "Conv"))


class NoClassifierError(Exception):
    """The output is no product onto classes; what it is instead is for the caller to find out."""


@dataclass(frozen=True)
class Ends:
    """Where the classifier is, and what stands about it."""

    classifier: Classifier
    answers: Answers
    output: str
    """The graph's output that hangs on it."""
    product: str
    """What it is, for people: MatMul and Add, Gemm, Conv."""
    before: int | None
    """How wide the product just before it is, if nothing but shaping lies between: two in a row."""


@dataclass(frozen=True)
class _Product:
    """A product with a bias or without, by places of nodes."""

    node: int
    add: int | None
    weight: str
    bias: str | None
    rows: bool
    classes: int
    width: int


class _Graph:
    """The graph's nodes and initialisers, and who makes what."""

    def __init__(self, proto: ModelProto, where: str) -> None:
        self.nodes: list[NodeProto] = list(proto.graph.node)
        self.held: Mapping[str, TensorProto] = {one.name: one for one in proto.graph.initializer}
        self.wires: Wiring = wiring(proto.graph, where)

    def maker(self, name: str) -> int | None:
        return self.wires.makers.get(name)


def find_classifier(proto: ModelProto, where: str) -> Ends:
    """The classifier of a graph as `load_graph` gives it.

    Raises NoClassifierError if its first output is no product onto classes, InputRefused if the
    product is one that we can't take apart.
    """
    if not proto.graph.output:
        raise NoClassifierError
    graph = _Graph(proto, where)
    output = proto.graph.output[0].name
    name, answers = _behind(graph, output)
    product = _product(graph, name)
    if product is None:
        raise NoClassifierError
    features = graph.nodes[product.node].input[0]
    _, before = _shaped(graph, features)
    inner = None if before is None else _product(graph, before)
    nodes = (product.node,) if product.add is None else (product.node, product.add)
    classifier = Classifier(
        features=features,
        scores=name,
        weight=product.weight,
        bias=product.bias,
        nodes=nodes,
        rows=product.rows,
        classes=product.classes,
        width=product.width,
    )
    kind = graph.nodes[product.node].op_type
    added = " and Add" if product.add is not None else ""
    return Ends(classifier, answers, output, kind + added, None if inner is None else inner.classes)


def _behind(graph: _Graph, output: str) -> tuple[str, Answers]:
    """The scores' name, and what of them the output holds."""
    name, answers = output, Answers.LOGITS
    while (place := graph.maker(name)) is not None:
        node = graph.nodes[place]
        if node.op_type in _ANSWERS:
            if answers is Answers.LOGITS:  # the last decides: ArgMax of a Softmax gives ids
                answers = _ANSWERS[node.op_type]
        elif node.op_type not in _SHAPING:
            break
        name = node.input[0]
    return name, answers


def _shaped(graph: _Graph, name: str) -> tuple[int | None, str | None]:
    """Back over nodes that change no number: who made it, and under which name."""
    while (place := graph.maker(name)) is not None and graph.nodes[place].op_type in _SHAPING:
        name = graph.nodes[place].input[0]
    return place, (None if place is None else name)


def _product(graph: _Graph, name: str) -> _Product | None:
    """The product that makes ``name``, its bias added in or behind it; None if none does."""
    place = graph.maker(name)
    if place is None:
        return None
    node = graph.nodes[place]
    if node.op_type in PRODUCTS:
        return _plain(graph, place)
    if node.op_type != "Add":
        return None
    biases = [one for one in node.input if one in graph.held]
    rest = [one for one in node.input if one not in graph.held]
    inner = graph.maker(rest[0]) if len(biases) == 1 and len(rest) == 1 else None
    if inner is None or len(graph.wires.takers.get(rest[0], ())) != 1:
        return None
    product = _plain(graph, inner) if graph.nodes[inner].op_type in PRODUCTS else None
    if product is None or product.bias is not None:
        return None
    if list(graph.held[biases[0]].dims)[-1:] != [product.classes] or _elements(
        graph.held[biases[0]]
    ) != product.classes:  # fmt: skip
        return None
    return _Product(
        inner, place, product.weight, biases[0], product.rows, product.classes, product.width
    )


def _plain(graph: _Graph, place: int) -> _Product | None:
    """MatMul, Gemm or a 1×1 Conv by a held matrix; None for products of two values."""
    node = graph.nodes[place]
    weight = graph.held.get(node.input[1])
    if weight is None:
        return None
    dims = list(weight.dims)
    if node.op_type == "MatMul":
        if len(dims) != 2:
            return None
        return _Product(place, None, node.input[1], None, False, dims[1], dims[0])
    given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
    if bias is not None and bias not in graph.held:
        return None
    if node.op_type == "Gemm":
        return _gemm(node, place, dims, bias, given)
    plain = given.get("group", 1) == 1 and all(
        set(given.get(name, [1])) <= {1} for name in ("strides", "dilations")
    )
    if not plain or any(given.get("pads", ())) or len(dims) < 3 or set(dims[2:]) != {1}:
        return None
    return _Product(place, None, node.input[1], bias, True, dims[0], dims[1])


def _gemm(
    node: NodeProto, place: int, dims: list[int], bias: str | None, given: Mapping[str, object]
) -> _Product | None:
    if given.get("transA", 0) or given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0:
        raise InputRefused(f"its last Gemm ({node.output[0]}) is scaled or turned: not known")
    if len(dims) != 2:
        return None
    rows = bool(given.get("transB", 0))
    classes, width = (dims[0], dims[1]) if rows else (dims[1], dims[0])
    return _Product(place, None, node.input[1], bias, rows, classes, width)


def _elements(tensor: TensorProto) -> int:
    count = 1
    for side in tensor.dims:
        count *= side
    return count
