"""A body cut across: what lies in front of a value that everything passes through, and behind it.

A *block* is what lies between two such values and holds weights that something is multiplied with:
a residual block, a convolution, an encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto, helper

from hcompress.compute.session import Session
from hcompress.errors import InputRefused
from hcompress.foreign.features import AT_ONCE, NARROW, cut_at
from hcompress.foreign.inputs import batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hcompress.foreign.model import ForeignModel
    from hcompress.progress import Progress

    Floats = NDArray[np.float32]

MOST_BYTES: Final = 2 << 30
"""What the values of all lines may take, where a body is cut."""

_FLOATS: Final = (1, 10, 11)
"""ONNX's numbers for floats of 32, 16 and 64 bits."""
_WEIGHTS: Final = {"Conv": (1,), "Gemm": (1,), "MatMul": (1,), "LSTM": (1, 2)}
"""Which inputs are multiplied with, if they are initialisers."""


class Block(NamedTuple):
    """Where it begins, and what it multiplies with."""

    start: str
    """The value that all of it hangs on."""
    weights: tuple[str, ...]
    """Initialisers of floats, by name."""


class Halves(NamedTuple):
    """A body in two graphs, one behind the other."""

    front: ModelProto
    """From the image to the value."""
    behind: ModelProto
    """From the value to the features; its output is the features alone."""
    weights: tuple[str, ...]
    """What `behind` multiplies with, and `front` does not."""


def blocks(model: ForeignModel) -> list[Block]:
    """The body's blocks in order."""
    graph = model.proto.graph
    held = {one.name: one.data_type for one in graph.initializer}
    image = next(one.name for one in graph.input if one.name not in held)
    nodes = _between(graph.node, image, model.classifier.features)
    found: list[Block] = []
    start, weights = image, list[str]()
    for node, through in zip(nodes, _passed(nodes, image, model.classifier.features), strict=True):
        places = _WEIGHTS.get(node.op_type, ())
        names = [node.input[place] for place in places if place < len(node.input)]
        weights += [name for name in names if held.get(name) in _FLOATS]
        if through:
            if weights:
                found.append(Block(start, tuple(dict.fromkeys(weights))))
            start, weights = node.output[0], []
    return found


def cut_before(model: ForeignModel, last: int) -> Halves:
    """The body cut in front of its last so many blocks.

    Raises InputRefused if it does not have so many, or they hold no weights of their own.
    """
    there = blocks(model)
    if last > len(there):
        raise InputRefused(
            f"--blocks {last}: the body has {len(there)} between values that all of it passes"
            " through"
        )
    part = there[-last:]
    front = cut_at(model.proto, part[0].start)
    kept = _asked(front.graph.node, part[0].start)
    taken = {name for node in kept for name in node.input} | {model.classifier.weight}
    names = dict.fromkeys(name for one in part for name in one.weights if name not in taken)
    if not names:
        raise InputRefused(f"--blocks {last}: they hold no weights of their own")
    behind = _behind(model.proto, part[0].start, model.classifier.features)
    return Halves(front, behind, tuple(names))


def check_stored(halves: Halves, stored: ModelProto) -> None:
    """Raises InputRefused if the stored graph does not have the blocks' weights as floats."""
    there = {one.name for one in stored.graph.initializer if one.data_type in _FLOATS}
    if not there.issuperset(halves.weights):
        raise InputRefused(
            "--blocks: the body is in few bits already: adapt the file that it came from"
        )


def _behind(proto: ModelProto, start: str, value: str) -> ModelProto:
    made = cut_at(proto, value)
    nodes = [node for node in _asked(made.graph.node, value, start)]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del made.graph.node[:], made.graph.input[:]
    made.graph.node.extend(copies)
    made.graph.input.append(helper.make_empty_tensor_value_info(start))
    return made


def _asked(nodes: Sequence[NodeProto], value: str, start: str = "") -> list[NodeProto]:
    """Nodes that a value hangs on, in order; none behind which ``start`` stands."""
    asked, kept = {value}, []
    for node in reversed(nodes):
        if asked.intersection(node.output) and start not in node.output:
            asked.update(node.input)
            kept.append(node)
    return kept[::-1]


def _between(nodes: Sequence[NodeProto], start: str, value: str) -> list[NodeProto]:
    """Of the nodes that a value hangs on, those that hang on ``start``."""
    moved, found = {start}, []
    for node in _asked(nodes, value):
        if moved.intersection(node.input):
            moved.update(node.output)
            found.append(node)
    return found


def _passed(nodes: Sequence[NodeProto], start: str, value: str) -> list[bool]:
    """Of each node, whether what it makes is all that anything behind it asks for."""
    last: dict[str, int] = {}
    for place, node in enumerate(nodes):
        last.update(dict.fromkeys(node.input, place))
    last[value] = len(nodes)
    through, latest = [], last.get(start, 0)
    for place, node in enumerate(nodes):
        through.append(latest <= place)
        latest = max(latest, *(last.get(name, 0) for name in node.output))
    return through


class Front:
    """The front of a body in one session of onnxruntime."""

    def __init__(self, halves: Halves, model: ForeignModel, threads: int = 1) -> None:
        """Raises InputRefused if lines do not come first in the values where it is cut."""
        self._image = model.spec.image
        self._value = halves.front.graph.output[0].name
        self._session = Session(halves.front.SerializeToString(), threads, where="the body")
        self._input = next(iter(self._session.inputs))
        if not self._image.single and not self._lines_first():
            raise InputRefused("--blocks: lines do not come first where it is cut: give another")

    def of(
        self, images: Sequence[NDArray[np.uint8]], label: str, progress: Progress
    ) -> list[Floats]:
        """The values of each image, RGB of any size, without the axis of lines.

        Raises InputRefused if they would take more than ``MOST_BYTES``.
        """
        progress.start(label, len(images))
        found: dict[int, Floats] = {}
        held = 0
        for places, inputs in batches(images, self._image, AT_ONCE):
            made = self._run(inputs)
            held += made.nbytes
            if held > MOST_BYTES:
                raise InputRefused(
                    f"{len(images)} lines: what they are in front of the blocks takes more than"
                    f" {MOST_BYTES >> 20} MiB: give fewer --images, or fewer --blocks"
                )
            progress.advance(len(places))
            found.update(zip(places, made, strict=True))
        progress.finish()
        return [found[place] for place in range(len(images))]

    def _run(self, inputs: Floats) -> Floats:
        return np.asarray(self._session.run([self._value], {self._input: inputs})[0], np.float32)

    def _lines_first(self) -> bool:
        """Measured: whether two images' values are those of each, one behind the other."""
        image = self._image
        width = image.maximum_width or max(image.minimum_width, NARROW)
        size = (2, len(image.mean), image.height, width)
        pair = np.random.default_rng(0).normal(size=size).astype(np.float32)
        both, first = self._run(pair), self._run(pair[:1])
        apart = (len(both), both[:1].shape) == (2, first.shape)
        return apart and bool(np.allclose(both[:1], first, rtol=1e-2, atol=1e-2))
