"""An exported file's loop taken apart: an encoder to run once, a step to run per character.

The single file holds the whole greedy loop. Run from outside, a step can stop at the bit logits
and leave the nearest code to the native search; lines that have ended can be left out of the
next one. onnxruntime prunes nothing at run time, so that two graphs are cut from the file's
bytes as it is loaded: in front of the loop what hangs on the images, in the loop's body what
the answer hangs on. Nothing here needs the `onnx` package, which takes longer to import than a
model to load. Field numbers are those of onnx.proto, which never reuses one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from pathlib import Path

from hcompress.formats.protobuf import Field, Wire, field, numeric
from hcompress.spec.exported import BIT_LOGITS, STEP

FLOAT = 1
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_NODE, _NAME, _INITIALISER, _INPUT, _OUTPUT = 1, 2, 5, 11, 12
_TENSOR_NAME = 8
_IN, _OUT, _OP, _ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_GRAPH = 6
_LONGEST_NAME = 4096
_OUTPUTS_BEFORE_CACHES = 3
"""Whether the loop goes on, the last ids, the lines alive."""


@dataclass(frozen=True)
class Split:
    """Two models, and the names of what goes in and out of them.

    Caches are [N, H, t, d/H] with t growing by one a step, keys and values in turn. ``answers``
    are the bit logits [N, K], or candidates and probabilities [N, k].
    """

    encoder: bytes
    step: bytes
    outputs: tuple[str, ...]
    """The whole file's."""
    images: str
    crossed: tuple[str, ...]
    """What the encoder gives and every step takes."""
    turn: str
    last: str
    alive: str
    caches: tuple[str, ...]
    written: tuple[str, ...]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class _Node:
    whole: memoryview
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bodies: tuple[Field, ...]


@dataclass(frozen=True)
class _Graph:
    name: str
    nodes: tuple[_Node, ...]
    initialisers: dict[str, memoryview]
    inputs: dict[str, memoryview]
    outputs: dict[str, memoryview]


class _File:
    """The file's fields, and views of them: a weight is copied once, into the graph written."""

    def __init__(self, data: bytes, path: Path) -> None:
        self._wire = Wire(BytesIO(data), len(data), path)
        self._data = memoryview(data)
        self.whole = Field(0, 0, 0, len(data), 0)

    def fields(self, outer: Field) -> Iterator[Field]:
        return self._wire.fields(outer.start, outer.end)

    def text(self, place: Field) -> str:
        return self._wire.text(place, _LONGEST_NAME)

    def view(self, place: Field) -> memoryview:
        return self._data[place.start : place.end]

    def name(self, outer: Field, number: int) -> str:
        """The first text of that number; empty where there is none."""
        return next((self.text(f) for f in self.fields(outer) if f.number == number), "")

    def rest(self) -> Iterator[memoryview]:
        """Of the model all but its graph and metadata, tags and lengths included."""
        start = 0
        for place in self.fields(self.whole):
            if place.number not in (_MODEL_GRAPH, _MODEL_METADATA):
                yield self._data[start : place.end]
            start = place.end


def split(data: bytes, path: Path) -> Split | None:
    """The two graphs; None where the file has no loop that this can take apart.

    ``path`` is what errors call it. Raises InputRefused where it is broken.
    """
    file = _File(data, path)
    graphs = [f for f in file.fields(file.whole) if f.number == _MODEL_GRAPH]
    if len(graphs) != 1:
        return None
    main = _graph(file, graphs[0])
    loops = [node for node in main.nodes if node.kind == "Loop"]
    if len(loops) != 1 or len(loops[0].bodies) != 1 or len(main.inputs) != 1:
        return None
    body = _graph(file, loops[0].bodies[0])
    if body.name != STEP or any(node.bodies for node in body.nodes):
        return None
    # Turn, whether it goes on, last ids, lines alive, caches; out: the same without the turn,
    # then candidates and probabilities.
    if len(body.inputs) < 4 or len(body.outputs) < len(body.inputs) + 1:
        return None
    return _cut(main, body, list(file.rest()))


@dataclass(frozen=True)
class Head:
    """A graph without a loop, cut at its bit logits."""

    model: bytes
    """images -> `BIT_LOGITS` [N * T, K]."""
    outputs: tuple[str, ...]
    """The whole file's."""


def cut_at_logits(data: bytes, path: Path) -> Head | None:
    """What comes before the bit logits; None where the file's own graph has none.

    ``path`` is what errors call it. Raises InputRefused where it is broken.
    """
    file = _File(data, path)
    graphs = [f for f in file.fields(file.whole) if f.number == _MODEL_GRAPH]
    if len(graphs) != 1:
        return None
    main = _graph(file, graphs[0])
    if not any(BIT_LOGITS in node.outputs for node in main.nodes):
        return None
    nodes = _needed(main.nodes, [BIT_LOGITS])
    outputs = [_float(BIT_LOGITS)]
    model = _model(list(file.rest()), nodes, main.initialisers, main.inputs.values(), outputs)
    return Head(model, tuple(main.outputs))


def _cut(main: _Graph, body: _Graph, rest: Sequence[memoryview]) -> Split:
    hanging = _hanging(main.nodes, main.inputs)
    ahead = [node for node in main.nodes if not hanging.intersection(node.outputs)]
    turn, _, last, alive, *caches = body.inputs
    after = list(body.outputs)[_OUTPUTS_BEFORE_CACHES:]
    written, candidates = after[: len(caches)], after[len(caches) :][:2]
    made = {name for node in body.nodes for name in node.outputs}
    answers = [BIT_LOGITS] if BIT_LOGITS in made else candidates
    within = _needed([*ahead, *body.nodes], [*answers, *written])
    taken = dict.fromkeys(name for node in within for name in node.inputs)
    crossed = tuple(name for name in taken if name in hanging)
    inputs = {name: _float(name) for name in crossed} | body.inputs
    outputs = {name: _float(name) for name in (*answers, *written)} | body.outputs
    return Split(
        encoder=_model(
            rest, _needed(main.nodes, crossed), main.initialisers,
            main.inputs.values(), map(_float, crossed),
        ),
        step=_model(
            rest, within, main.initialisers,
            (inputs[name] for name in taken if name in inputs),
            (outputs[name] for name in (*answers, *written)),
        ),
        outputs=tuple(main.outputs), images=next(iter(main.inputs)), crossed=crossed,
        turn=turn, last=last, alive=alive, caches=tuple(caches), written=tuple(written),
        answers=tuple(answers),
    )  # fmt: skip


def _hanging(nodes: Iterable[_Node], inputs: Iterable[str]) -> set[str]:
    """Values that are not the same for all images."""
    hanging = set(inputs)
    for node in nodes:
        if hanging.intersection(node.inputs):
            hanging.update(node.outputs)
    return hanging


def _needed(nodes: Sequence[_Node], wanted: Iterable[str]) -> list[_Node]:
    """Those of ``nodes``, in their order, that ``wanted`` hangs on."""
    missing, needed = set(wanted), []
    for node in reversed(nodes):
        if missing.intersection(node.outputs):
            missing.update(node.inputs)
            needed.append(node)
    return needed[::-1]


def _graph(file: _File, outer: Field) -> _Graph:
    name, nodes = "", []
    tensors: dict[str, memoryview] = {}
    inputs: dict[str, memoryview] = {}
    outputs: dict[str, memoryview] = {}
    for place in file.fields(outer):
        if place.number == _NODE:
            nodes.append(_node(file, place))
        elif place.number == _NAME:
            name = file.text(place)
        elif place.number == _INITIALISER:
            tensors[file.name(place, _TENSOR_NAME)] = file.view(place)
        elif place.number == _INPUT:
            inputs[file.name(place, 1)] = file.view(place)
        elif place.number == _OUTPUT:
            outputs[file.name(place, 1)] = file.view(place)
    return _Graph(name, tuple(nodes), tensors, inputs, outputs)


def _node(file: _File, outer: Field) -> _Node:
    texts: dict[int, list[str]] = {_IN: [], _OUT: [], _OP: []}
    bodies = []
    for place in file.fields(outer):
        if place.number in texts:
            texts[place.number].append(file.text(place))
        elif place.number == _ATTRIBUTE:
            bodies += [f for f in file.fields(place) if f.number == _ATTRIBUTE_GRAPH]
    kind = "".join(texts[_OP])
    return _Node(file.view(outer), kind, tuple(texts[_IN]), tuple(texts[_OUT]), tuple(bodies))


def _float(name: str) -> bytes:
    """A ValueInfoProto: float32 of any shape."""
    kind = b"".join(field(1, numeric(1, FLOAT)))
    return b"".join(chain(field(1, name), field(2, kind)))


def _model(
    rest: Sequence[memoryview],
    nodes: Sequence[_Node],
    initialisers: dict[str, memoryview],
    inputs: Iterable[bytes | memoryview],
    outputs: Iterable[bytes | memoryview],
) -> bytes:
    """A ModelProto of these nodes and the initialisers they take."""
    taken = {name for node in nodes for name in node.inputs}
    weights = (data for name, data in initialisers.items() if name in taken)
    graph = b"".join(
        chain(
            *(field(_NODE, node.whole) for node in nodes),
            field(_NAME, "part"),
            *(field(_INITIALISER, data) for data in weights),
            *(field(_INPUT, info) for info in inputs),
            *(field(_OUTPUT, info) for info in outputs),
        )
    )
    return b"".join(chain(rest, field(_MODEL_GRAPH, graph)))
