"""A foreign graph with some of its weights stored in other ways. Everything else stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto, helper, numpy_helper

from hcompress.errors import InputRefused
from hcompress.onnx_writer.decoders import DOMAIN, Store
from hcompress.onnx_writer.packed import Packed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.foreign.model import Classifier, ForeignModel

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
    made = _renewed(proto)
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


def _renewed(proto: ModelProto) -> ModelProto:
    """A copy whose opset is one that decoders can be written in."""
    made = ModelProto()
    made.CopyFrom(proto)
    old = next((one.version for one in made.opset_import if one.domain in ("", "ai.onnx")), 0)
    if old >= DECODERS_SINCE:
        return made
    from onnx.version_converter import ConvertError, convert_version

    try:
        newer = convert_version(made, DECODERS_SINCE)
    except (ConvertError, RuntimeError) as error:
        line = " ".join(str(error).split())[:200]
        raise InputRefused(
            f"opset {old} cannot be brought to {DECODERS_SINCE}, which packed weights need: export"
            f" it again: {line}"
        ) from None
    del made.graph.node[:], made.graph.initializer[:], made.opset_import[:]
    made.graph.node.extend(newer.graph.node)  # inputs and outputs are to stay as they were said
    made.graph.initializer.extend(newer.graph.initializer)
    made.opset_import.extend(newer.opset_import)
    return made


def _decode(store: Store, name: str, how: Stored) -> None:
    """Write the decoder of a weight; what it gives is called ``name``."""
    value = how.packed.emit(store)
    if how.turned:
        store.op("Transpose", value, perm=[1, 0])
    elif how.packed.shape != how.shape:
        store.op("Reshape", value, store.tensor("shape", np.array(how.shape, np.int64)))
    store.nodes[-1].output[0] = name
