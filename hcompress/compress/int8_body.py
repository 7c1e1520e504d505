"""A foreign body computed in whole numbers: which values become bytes, and of which grid.

Convolutions take and give bytes, and what only adds, scales or pools bytes stays in them. Those
that harm the features most stay in floats. N images, C channels, d features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import ModelProto, helper

from hcompress.compute.grids import Grid, fitted
from hcompress.compute.session import Session
from hcompress.errors import UsageError
from hcompress.foreign.convolutions import Convolution, convolutions
from hcompress.foreign.features import cut_at
from hcompress.foreign.gelu import with_gelus
from hcompress.foreign.in_bytes import SINCE, in_bytes
from hcompress.foreign.opset import raised

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.foreign.model import ForeignModel
    from hcompress.progress import Progress

    Floats = NDArray[np.float32]

KEPT: Final = frozenset(("Add", "AveragePool", "Concat", "MaxPool", "Mul", "Relu"))
"""What computes with bytes if all that it is given are bytes."""
SAMPLE: Final = 6000
"""Numbers of a value that are looked at, of each batch."""
SHOWN: Final = 12
"""Batches on which sensitivity is measured."""


@dataclass(frozen=True)
class Seen:
    """A value, as it was on some lines."""

    sample: Floats
    low: float
    high: float
    flat: bool
    """One pixel an image: the answer of a gate, cheap in floats."""

    def joined(self, other: Seen) -> Seen:
        return Seen(
            np.concatenate([self.sample, other.sample]),
            min(self.low, other.low),
            max(self.high, other.high),
            self.flat and other.flat,
        )


@dataclass(frozen=True)
class Int8Body:
    """The graph, and what was found."""

    proto: ModelProto
    """Its weights are those of the float graph, but for the convolutions'."""
    convolutions: int
    """In whole numbers."""
    floats: tuple[str, ...]
    """What those give that stayed in floats for their harm."""
    error: float
    """Of the features' square, on the lines that were shown."""


def int8_body(
    model: ForeignModel,
    decoded: frozenset[str],
    lines: Sequence[Floats],
    harm: float,
    progress: Progress,
) -> Int8Body:
    """The model with its convolutions in whole numbers of eight bits.

    ``decoded``: weights that the file decodes, which stay as they are stored. ``lines``: batches
    of inputs [N, C, H, W] of any text. A convolution that makes more than ``harm`` of the
    features' error stays in floats. Raises UsageError if no convolution is left to change, and
    InputRefused if the graph can't be brought to the opset that this needs.
    """
    proto = with_gelus(raised(model.proto, SINCE, "which whole numbers by channel need"))
    body = cut_at(proto, model.classifier.features)
    found = {one.output: one for one in convolutions(proto)}
    seen = observed(body, _looked_at(body, found), lines, progress)
    able = {
        name: one
        for name, one in found.items()
        if one.given in seen and not (seen[one.given].flat and seen[name].flat)
    }
    if not able:
        raise UsageError("no convolution over images to compute in whole numbers")
    grids: dict[str, Grid] = {}

    def written(graph: ModelProto, chosen: Mapping[str, Convolution]) -> ModelProto:
        wanted = values_in_bytes(graph, chosen, seen)
        for name in wanted - grids.keys():
            grids[name] = fitted(seen[name].sample, seen[name].low, seen[name].high)
        return in_bytes(graph, {name: grids[name] for name in wanted}, chosen, decoded)

    shown = lines[:SHOWN]
    before = _features(body, shown)
    size = sum(float(np.square(one).sum()) for one in before)

    def error(chosen: Mapping[str, Convolution]) -> float:
        made = _features(written(body, chosen), shown)
        pairs = zip(made, before, strict=True)
        return sum(float(np.square(new - old).sum()) for new, old in pairs) / max(size, 1e-30)

    whole = error(able)
    floats: list[str] = []
    if harm < 1:  # nothing makes more than all of it
        progress.start("sensitivity", len(able))
        for name in able:
            without = error({other: one for other, one in able.items() if other != name})
            if whole - without > harm * whole:
                floats.append(name)
            progress.advance(1)
        progress.finish()
    chosen = {name: one for name, one in able.items() if name not in floats}
    if not chosen:
        raise UsageError(f"harm = {harm:g}: every convolution stays in floats: allow more")
    made = written(proto, chosen)
    return Int8Body(made, len(chosen), tuple(floats), error(chosen) if floats else whole)


def values_in_bytes(
    proto: ModelProto, chosen: Mapping[str, Convolution], seen: Mapping[str, Seen]
) -> set[str]:
    """What the chosen convolutions take and give, and what is made of nothing but that."""
    held = {one.name for one in proto.graph.initializer}
    takers: dict[str, list[Any]] = {}
    for node in proto.graph.node:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    made = {one.given for one in chosen.values()}
    for name in chosen:
        after = takers.get(name, [])
        relu = len(after) == 1 and after[0].op_type == "Relu"
        made.add(after[0].output[0] if relu else name)  # one is computed with the other
    inner = {name for one in chosen.values() for name in one.outputs}
    for node in proto.graph.node:
        if node.op_type not in KEPT or node.output[0] in inner or node.output[0] not in seen:
            continue
        given = [name for name in node.input if name]
        gates = {name for name in given if name in seen and seen[name].flat}
        if held & set(given) or not made & set(given) or not made.issuperset(set(given) - gates):
            continue
        made |= {*gates, node.output[0]}
    return made & seen.keys()


def observed(
    body: ModelProto, names: Sequence[str], lines: Sequence[Floats], progress: Progress
) -> dict[str, Seen]:
    """What the values of a graph are on these lines."""
    made = ModelProto()
    made.CopyFrom(body)
    del made.graph.output[:]
    given = {one.name for one in made.graph.input}
    wanted = [name for name in names if name not in given]
    made.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in wanted)
    session = Session(made.SerializeToString(), where="the body")
    (entry,) = session.inputs
    rng = np.random.Generator(np.random.PCG64(0))
    seen: dict[str, Seen] = {}
    progress.start("ranges", len(lines))
    for batch in lines:
        values = dict(zip(wanted, session.run(wanted, {entry: batch}), strict=True))
        for name, value in ((entry, batch), *values.items()):
            if value.dtype != np.float32 or not value.size:
                continue
            here = _seen(np.asarray(value, np.float32), rng)
            seen[name] = seen[name].joined(here) if name in seen else here
        progress.advance(1)
    progress.finish()
    return seen


def _seen(value: Floats, rng: np.random.Generator) -> Seen:
    flat = value.reshape(-1)
    some = flat if flat.size <= SAMPLE else flat[rng.integers(0, flat.size, SAMPLE)]
    low, high = min(0.0, float(flat.min())), max(0.0, float(flat.max()))
    return Seen(some, low, high, value.ndim == 4 and value.shape[2:] == (1, 1))


def _looked_at(body: ModelProto, found: Mapping[str, Convolution]) -> list[str]:
    """Values that may become bytes."""
    held = {one.name for one in body.graph.initializer}
    inner = {name for one in found.values() for name in one.outputs} - found.keys()
    names = dict.fromkeys(name for one in found.values() for name in (one.given, one.output))
    for node in body.graph.node:
        if node.op_type in KEPT:
            names |= dict.fromkeys(n for n in (*node.input, *node.output) if n and n not in held)
    there = {name for node in body.graph.node for name in node.output}
    there |= {one.name for one in body.graph.input}
    return [name for name in names if name in there and name not in inner]


def _features(body: ModelProto, lines: Sequence[Floats]) -> list[Floats]:
    session = Session(body.SerializeToString(), where="the body in whole numbers")
    (entry,), outputs = session.inputs, list(session.outputs)
    return [np.asarray(session.run(outputs, {entry: batch})[0], np.float32) for batch in lines]
