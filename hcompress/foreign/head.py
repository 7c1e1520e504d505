"""A foreign recogniser's classes as its graph stores them: read, and put back in other numbers.

V classes, d features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import ModelProto, numpy_helper

from hcompress.errors import InputRefused
from hcompress.foreign.edit import Stored, with_stored
from hcompress.foreign.graph import dead_out
from hcompress.onnx_writer.packed import Halves, Packed, Plain, Spread, Stack
from hcompress.onnx_writer.unpacked import stacked, unpacked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.foreign.model import Classifier, ForeignModel

    Floats = NDArray[np.float32]
    Rows = NDArray[np.intp]

_NAME: Final = "classifier"
"""What the tensors of a classifier that is decoded begin with."""


@dataclass(frozen=True)
class Head:
    """A classifier as it is stored."""

    weight: Packed
    """[V, d]."""
    bias: Packed | None
    """[V, 1]; None if it has none."""

    @property
    def classes(self) -> int:
        return int(self.weight.shape[0])

    @property
    def plain(self) -> bool:
        """Every class is stored, as floats."""
        return isinstance(self.weight, Plain)

    def take(self, rows: Rows) -> Head:
        """Some classes, ascending, as they are stored."""
        bias = None if self.bias is None else self.bias.take(rows)
        return Head(self.weight.take(rows), bias)

    def below(self, weight: Floats, bias: Floats) -> Head:
        """Classes behind these: weights [n, d] and biases [n], as floats or, beside an encoding,
        in FP16."""
        rows = (like(self.weight, weight), like(self.weight, bias[:, None]))
        put = None if self.bias is None else stacked((self.bias, rows[1]))
        return Head(stacked((self.weight, rows[0])), put)


def like(packed: Packed, values: Floats) -> Packed:
    """Floats as they go beside what is packed so."""
    if isinstance(packed, Plain):
        return Plain(np.asarray(values, np.float32))
    most = float(np.finfo(np.float16).max)
    return Halves(np.clip(values, -most, most).astype(np.float16))


def stored_head(model: ForeignModel, stored: ModelProto) -> Head:
    """The classifier as the stored graph has it, both as `open_stored` gives them.

    Raises InputRefused if what decodes it is damaged, or makes something else than the model says.
    """
    part = model.classifier
    weights, biases = model.class_weights()
    weight = unpacked(stored, part.weight) or Plain(np.ascontiguousarray(weights))
    bias: Packed | None = None
    if part.bias is not None:
        bias = unpacked(stored, part.bias) or Plain(biases[:, None])
        if len(bias.shape) == 1:
            bias = _as_column(bias)
    _check(weight, weights)
    if bias is not None:
        _check(bias, biases[:, None])
    return Head(weight, bias)


def _as_column(bias: Packed) -> Packed:
    if isinstance(bias, Halves):
        return Halves(bias.values[:, None])
    raise InputRefused("damaged: the classifier's bias is no column")


def _check(packed: Packed, values: Floats) -> None:
    there = packed.floats()
    if there.shape != values.shape or not np.allclose(there, values, rtol=1e-4, atol=1e-4):
        raise InputRefused("damaged: the classifier is not what its graph decodes")


def with_head(model: ForeignModel, stored: ModelProto, head: Head) -> ModelProto:
    """The stored graph with another classifier, of any number of classes.

    The declared output and shapes that name the number of classes follow. Raises InputRefused if
    the graph can't be edited so.
    """
    part = model.classifier
    made = ModelProto()
    made.CopyFrom(stored)
    put = {part.weight: head.weight}
    if part.bias is not None:
        assert head.bias is not None
        put[part.bias] = head.bias
    shapes = {name: _shape(model, name, head.classes) for name in put}
    _take_out(made, frozenset(put))
    for name, packed in put.items():
        turned = name == part.weight and not part.rows
        whole = Stored(packed, shapes[name], turned).floats()
        made.graph.initializer.append(numpy_helper.from_array(whole, name))
    _follow(made, part, head.classes)
    coded = {
        name: Stored(packed, shapes[name], name == part.weight and not part.rows)
        for name, packed in put.items()
        if not isinstance(packed, Plain)
    }
    names = {part.weight: _NAME, part.bias or "": f"{_NAME}.bias"}
    whole_graph = with_stored(made, coded, names) if coded else made
    return _swept(whole_graph)


def _shape(model: ForeignModel, name: str, classes: int) -> tuple[int, ...]:
    """What the graph takes, its classes so many."""
    part = model.classifier
    dims = next(tuple(one.dims) for one in model.proto.graph.initializer if one.name == name)
    if name == part.weight and not part.rows:
        return (*dims[:-1], classes)
    if name == part.weight:
        return (classes, *dims[1:])
    return (*dims[:-1], classes)


def _take_out(made: ModelProto, names: frozenset[str]) -> None:
    """Initialisers of these names, and nodes that make them; what only fed those goes later."""
    kept = [one for one in made.graph.initializer if one.name not in names]
    nodes = [node for node in made.graph.node if not names.intersection(node.output)]
    copies = [type(one).FromString(one.SerializeToString()) for one in kept]
    del made.graph.initializer[:]
    made.graph.initializer.extend(copies)
    held = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del made.graph.node[:]
    made.graph.node.extend(held)


def _follow(made: ModelProto, part: Classifier, classes: int) -> None:
    """The number of classes in the declared output, and in the shapes of what lies behind."""
    if classes == part.classes:
        return
    for one in made.graph.output:
        dims = one.type.tensor_type.shape.dim
        if len(dims) > 2 and dims[-1].dim_value == part.classes:  # ids have no such axis
            dims[-1].dim_value = classes
    del made.graph.value_info[:]
    behind = {part.scores}
    held = {one.name: one for one in made.graph.initializer}
    for node in made.graph.node:
        if not behind.intersection(node.input):
            continue
        behind.update(node.output)
        if node.op_type == "Reshape" and node.input[1] in held:
            shape = held[node.input[1]]
            sides = numpy_helper.to_array(shape)
            renewed = np.where(sides == part.classes, classes, sides)
            name = f"{node.output[0]}.shape"
            made.graph.initializer.append(numpy_helper.from_array(renewed, name))
            node.input[1] = name


def _swept(made: ModelProto) -> ModelProto:
    """Without what no output hangs on any more, functions that nothing calls among it."""
    dead_out(made.graph)
    called = {node.op_type for node in made.graph.node if node.domain}
    kept = [one for one in made.functions if one.name in called]
    copies = [type(one).FromString(one.SerializeToString()) for one in kept]
    del made.functions[:]
    made.functions.extend(copies)
    return made


def opened_with(model: ForeignModel, classes: int) -> ForeignModel:
    """The model with the number of its classes said anew."""
    return replace(model, classifier=replace(model.classifier, classes=classes))


def decoded(model: ForeignModel, stored: ModelProto) -> ModelProto:
    """The stored graph with its classes as initialisers again, if every number of them is a float:
    rows in common are written out. In an encoding they stay as they are."""
    if model.classifier.weight in {one.name for one in stored.graph.initializer}:
        return stored
    head = stored_head(model, stored)
    if not _all_floats(head.weight):
        return stored
    weights, biases = model.class_weights()
    return with_head(model, stored, Head(Plain(weights), Plain(biases[:, None])))


def _all_floats(packed: Packed) -> bool:
    if isinstance(packed, Spread):
        return _all_floats(packed.rows)
    if isinstance(packed, Stack):
        return all(map(_all_floats, packed.parts))
    return isinstance(packed, Plain)
