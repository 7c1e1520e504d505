"""A foreign graph with some of its weights stored in other ways. Everything else stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from hcompress.foreign.opset import raised
from hcompress.onnx_writer.decoders import DOMAIN, Store
from hcompress.onnx_writer.packed import Packed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.foreign.model import Classifier, ForeignModel

    Floats = NDArray[np.float32]

FUNCTIONS_SINCE = 8
"""The IR version that brought local functions."""
DECODERS_SINCE = 11
"""The opset that brought the last of what decoders are made of."""


@dataclass(frozen=True)
class Stored:
    """How one weight of the graph is stored."""

    packed: Packed
    """[rows, columns], an output channel or a class a row."""
    shape: tuple[int, ...]
    """What the graph takes."""
    turned: bool = False
    """The graph takes [columns, rows], as MatMul does."""

    def floats(self) -> NDArray[np.float32]:
        """The weight as the graph takes it."""
        matrix = self.packed.floats()
        return np.ascontiguousarray(matrix.T if self.turned else matrix).reshape(self.shape)


def with_stored(
    proto: ModelProto, stored: Mapping[str, Stored], names: Mapping[str, str] | None = None
) -> ModelProto:
    """A copy of the model whose initialisers named in ``stored`` are decoded by the graph.

    The name of an initialiser becomes that of the decoder's output, so that no other node
    changes. ``names`` gives the decoders' tensors other names than their initialisers'. A graph of
    an older opset than the decoders' is brought to theirs. Raises KeyError if there is no such
    initialiser, InputRefused if the graph cannot be brought to that opset.
    """
    made = raised(proto, DECODERS_SINCE, "which packed weights need")
    there = {one.name: one for one in made.graph.initializer}
    store = Store("")
    for name, how in stored.items():
        made.graph.initializer.remove(there[name])
        store.name = (names or {}).get(name, name)
        _decode(store, name, how)
    made.graph.initializer.extend(store.tensors)
    nodes = [*store.nodes, *made.graph.node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    if not store.functions:
        return made
    if all(one.domain != DOMAIN for one in made.opset_import):
        made.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    known = {function.name for function in made.functions if function.domain == DOMAIN}
    wanted = [
        function for function in store.protos(made.opset_import) if function.name not in known
    ]
    made.functions.extend(wanted)
    made.ir_version = max(made.ir_version, FUNCTIONS_SINCE)
    return made


def decoded(stored: ModelProto, floats: ModelProto) -> frozenset[str]:
    """Weights of the float graph that the stored one has nodes for."""
    there = {one.name for one in stored.graph.initializer}
    return frozenset(one.name for one in floats.graph.initializer if one.name not in there)


def with_decoders(made: ModelProto, stored: ModelProto, names: frozenset[str]) -> ModelProto:
    """A graph of floats with the weights of those ``names`` decoded as the stored one does.

    Weights that nothing asks for any more are left out.
    """
    taken = {name for node in made.graph.node for name in node.input}
    nodes = _makers(stored, names & taken)
    used = {name for node in nodes for name in node.input}
    whole = ModelProto()
    whole.CopyFrom(made)
    kept = [one for one in made.graph.initializer if one.name in taken - names]
    there = {one.name for one in kept}
    packed = (one for one in stored.graph.initializer if one.name in used - there)
    del whole.graph.node[:], whole.graph.initializer[:], whole.functions[:]
    whole.graph.node.extend([*nodes, *made.graph.node])
    whole.graph.initializer.extend([*kept, *packed])
    kinds = {node.op_type for node in nodes if node.domain == DOMAIN}
    if not kinds:
        return whole
    if all(one.domain != DOMAIN for one in whole.opset_import):
        whole.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    for function in stored.functions:
        if function.name in kinds:
            again = whole.functions.add()
            again.CopyFrom(function)
            del again.opset_import[:]
            again.opset_import.extend(whole.opset_import)
    whole.ir_version = max(whole.ir_version, FUNCTIONS_SINCE)
    return whole


def _makers(stored: ModelProto, names: frozenset[str]) -> list[NodeProto]:
    """The nodes that values hang on, in order."""
    asked = set(names)
    kept = []
    for node in reversed(stored.graph.node):
        if asked & set(node.output):
            asked |= set(node.input)
            kept.append(node)
    return kept[::-1]


def with_bias(model: ForeignModel, stored: ModelProto) -> tuple[ForeignModel, ModelProto]:
    """The model and its stored graph with a bias a class, of zeros where it had none."""
    part = model.classifier
    if part.bias is not None:
        return model, stored
    name = f"{part.weight}.bias"
    proto, other = (_with_zeros(one, part, name) for one in (model.proto, stored))
    place = part.nodes[0]
    nodes = (place,) if proto.graph.node[place].output[0] == part.scores else (place, place + 1)
    return replace(model, proto=proto, classifier=replace(part, bias=name, nodes=nodes)), other


def with_classifier(
    model: ForeignModel, stored: ModelProto, weight: Floats, bias: Floats
) -> ModelProto:
    """The stored graph with other weights [V, d] and biases [V], both floats as they were."""
    part = model.classifier
    assert part.bias is not None, "with_bias gives it one"
    matrix = weight if part.rows else np.ascontiguousarray(weight.T)
    return with_floats(stored, {part.weight: matrix, part.bias: bias})


def with_floats(stored: ModelProto, new: Mapping[str, Floats]) -> ModelProto:
    """The graph with other numbers in initialisers of these names, in the types that they had."""
    made = ModelProto()
    made.CopyFrom(stored)
    for one in made.graph.initializer:
        value = new.get(one.name)
        if value is not None:
            kind = helper.tensor_dtype_to_np_dtype(one.data_type)
            held = value.reshape(tuple(one.dims)).astype(kind)
            one.CopyFrom(numpy_helper.from_array(held, one.name))
    return made


def _with_zeros(proto: ModelProto, part: Classifier, name: str) -> ModelProto:
    made = ModelProto()
    made.CopyFrom(proto)
    made.graph.initializer.append(numpy_helper.from_array(np.zeros(part.classes, np.float32), name))
    place = next(i for i, node in enumerate(made.graph.node) if part.scores in node.output)
    product = made.graph.node[place]
    if product.op_type != "MatMul":  # Gemm and Conv take it themselves
        del product.input[2:]
        product.input.append(name)
        return made
    inner = f"{part.weight}.product"
    product.output[0] = inner
    made.graph.node.insert(place + 1, helper.make_node("Add", [inner, name], [part.scores]))
    return made


def _decode(store: Store, name: str, how: Stored) -> None:
    """Write the decoder of a weight; what it gives is called ``name``."""
    value = how.packed.emit(store)
    if how.turned:
        store.op("Transpose", value, perm=[1, 0])
    elif how.packed.shape != how.shape:
        store.op("Reshape", value, store.tensor("shape", np.array(how.shape, np.int64)))
    store.nodes[-1].output[0] = name
