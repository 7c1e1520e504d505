"""Loads an ONNX file of anybody's and brings its graph into one form, which computes the same.

Every weight becomes an initialiser: constants, and vendors' int8 with the scales beside it, are
worked out once, by onnxruntime itself, as it would have done in loading. What only renames is
taken out, and so is what no output hangs on. Graphs of FP16 become graphs of float32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    external_data_helper,
    helper,
    numpy_helper,
)

from hcompress.compute.session import Session
from hcompress.errors import InputRefused
from hcompress.foreign.checkpoints.convert import converted
from hcompress.foreign.damage import damage
from hcompress.foreign.halves import out_of_halves
from hcompress.foreign.integers import in_floats
from hcompress.formats.open import Format, ModelFile
from hcompress.onnx_writer.decoders import DOMAIN
from hcompress.onnx_writer.known import is_decoder
from hcompress.strict.files import quoted, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BYTES: Final = 1 << 30
"""Bytes of a model: protobuf itself stops at twice that, and no line recogniser comes near."""
OPSETS: Final = range(9, 22)
_FOLDED: Final = frozenset(
    ("Add", "Cast", "Concat", "DequantizeLinear", "Div", "Gather", "Identity", "Mul",
     "QuantizeLinear", "Reshape", "Slice", "Squeeze", "Sub", "Transpose", "Unsqueeze")
)  # fmt: skip
"""What is worked out where all that goes in is known: none makes much of little."""
_QUANTISED: Final = frozenset(
    ("ConvInteger", "DynamicQuantizeLSTM", "MatMulInteger", "MatMulIntegerToFloat",
     "DynamicQuantizeMatMul", "QAttention", "QGemm", "QLinearConv", "QLinearMatMul")
)  # fmt: skip
"""Products of integers: their activations are rounded too."""
_ONNX: Final = ("", "ai.onnx")


def load_graph(file: ModelFile) -> ModelProto:
    """The file's graph, external data included, in the one form that the rest builds on.

    Weights that were packed here are floats again. Raises InputRefused if it is damaged, too
    large, of an opset that nobody tested, or has products of integers that
    can't be taken apart.
    """
    return normalised(load_stored(file))


def load_stored(file: ModelFile) -> ModelProto:
    """The file's graph as it stands, external data included; of a checkpoint the graph that it
    stands for. Raises as `load_graph`."""
    if file.bare:
        return converted(file).proto
    if file.format is not Format.ONNX:
        raise InputRefused(f"{shown(file.path)}: no ONNX file: give the recogniser as ONNX")
    layout = file.layout  # checks structure, and that external data lie in the folder
    if layout.bytes > MOST_BYTES:
        raise InputRefused(
            f"{shown(file.path)}: {layout.bytes:,} bytes: no line recogniser is larger than"
            f" {MOST_BYTES:,}"
        )
    proto = parsed(file)
    if any(piece.file != layout.path for piece in layout.pieces):
        external_data_helper.load_external_data_for_model(proto, str(file.path.parent))
    if rounds_activations(proto):
        proto = in_floats(proto)
    _check(proto, shown(file.path))
    return proto


def rounds_activations(proto: ModelProto) -> bool:
    """Whether it has products of integers, which `load_graph` makes products of floats."""
    return any(node.op_type in _QUANTISED for node in proto.graph.node)


def parsed(file: ModelFile) -> ModelProto:
    """The file as it is, external data left where they are. Raises InputRefused if damaged."""
    from google.protobuf.message import DecodeError

    with file.stream() as stream:
        data = stream.read()
    proto = ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError:
        raise InputRefused(f"{shown(file.path)}: no ONNX model: damaged") from None
    wrong = damage(proto)
    if wrong is not None:
        raise InputRefused(f"{shown(file.path)}: damaged: {wrong}")
    return proto


def _check(proto: ModelProto, where: str) -> None:
    version = next((one.version for one in proto.opset_import if one.domain in _ONNX), 0)
    if version not in OPSETS:
        raise InputRefused(
            f"{where}: opset {version}: {OPSETS.start} to {OPSETS.stop - 1} are known: export it"
            " again with one of them"
        )
    kinds = {node.op_type for node in proto.graph.node}
    integers = sorted(_QUANTISED & kinds)
    if integers:
        raise InputRefused(
            f"{where}: quantised with its activations ({', '.join(integers)}): give the float"
            " file that it was made from"
        )
    if any(not is_decoder(one, proto.opset_import) for one in proto.functions):
        raise InputRefused(f"{where}: has functions of its own: give the file it was made from")
    if any(True for node in proto.graph.node for _ in _bodies(node)):
        raise InputRefused(f"{where}: has loops or branches: no recogniser that reads"
                           " a line in one go")  # fmt: skip


def normalised(proto: ModelProto) -> ModelProto:
    """A copy whose weights are initialisers, without renaming and dead nodes. Same results."""
    made = ModelProto()
    made.CopyFrom(proto)
    graph = made.graph
    held = {one.name for one in graph.initializer}
    kept = [one for one in graph.input if one.name not in held]
    del graph.input[:], graph.value_info[:]  # shapes in between are often false
    graph.input.extend(kept)
    made.ir_version = max(made.ir_version, 4)  # from where an initialiser need not be an input
    for node in graph.node:
        node.ClearField("doc_string")
    _constants_out(graph)
    _fold(made)
    del made.functions[:]  # all that they decode is worked out
    out_of_halves(graph)
    _renames_out(graph)
    dead_out(graph)
    return made


def _constants_out(graph: GraphProto) -> None:
    """Constant nodes as initialisers."""
    nodes = []
    for node in graph.node:
        tensor = _constant(node) if node.op_type == "Constant" else None
        if tensor is None:
            nodes.append(node)
            continue
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
    _put(graph, nodes)


def _constant(node: NodeProto) -> TensorProto | None:
    """None for texts and sparse tensors, which stay nodes."""
    given = {one.name: one for one in node.attribute}
    if "value" in given:
        tensor = TensorProto()
        tensor.CopyFrom(given["value"].t)
        return tensor
    for name, kind in (("value_float", np.float32), ("value_floats", np.float32),
                       ("value_int", np.int64), ("value_ints", np.int64)):  # fmt: skip
        if name in given:
            return numpy_helper.from_array(np.array(helper.get_attribute_value(given[name]), kind))
    return None


def _fold(made: ModelProto) -> None:
    """What hangs on nothing but initialisers is worked out, and becomes one."""
    graph = made.graph
    known = {one.name for one in graph.initializer}
    nodes = []
    for node in graph.node:
        given = [name for name in node.input if name]
        may = node.domain == DOMAIN or (node.op_type in _FOLDED and node.domain in _ONNX)
        if may and given and known.issuperset(given):
            nodes.append(node)
            known.update(node.output)
    if not nodes:
        return
    outputs = {one.name for one in graph.output}
    inner = {name for node in nodes for name in node.input}
    folded = {id(node) for node in nodes}
    rest = [node for node in graph.node if id(node) not in folded]
    taken = {name for node in rest for name in node.input} | outputs
    wanted = [name for node in nodes for name in node.output if name in taken]
    values = _worked_out(made, nodes, inner, wanted)
    _put(graph, rest)
    for name, value in values.items():
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))


def _worked_out(
    made: ModelProto, nodes: Sequence[NodeProto], inner: set[str], wanted: Sequence[str]
) -> Mapping[str, NDArray[np.generic]]:
    if not wanted:
        return {}
    part = helper.make_graph(
        nodes,
        "constants",
        [],
        [helper.make_empty_tensor_value_info(name) for name in wanted],
        [one for one in made.graph.initializer if one.name in inner],
    )
    model = helper.make_model(
        part,
        opset_imports=made.opset_import,
        ir_version=made.ir_version,
        functions=made.functions,
    )
    session = Session(model.SerializeToString(), where="the file's constants")
    return dict(zip(wanted, session.run(list(wanted), {}), strict=True))


def _renames_out(graph: GraphProto) -> None:
    """Identity nodes, but for those between an input and an output."""
    fixed = {one.name for one in graph.input} | {one.name for one in graph.initializer}
    outputs = {one.name for one in graph.output}
    names: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        if node.op_type != "Identity" or node.domain not in _ONNX:
            nodes.append(node)
            continue
        before, after = names.get(node.input[0], node.input[0]), node.output[0]
        if after not in outputs:
            names[after] = before
        elif before in fixed or before in outputs:
            nodes.append(node)
        else:  # what made it is called as the output is
            names[before] = after
            names.update((old, after) for old, new in names.items() if new == before)
    for node in nodes:
        for ends in (node.input, node.output):
            for place, name in enumerate(ends):
                ends[place] = names.get(name, name)
    _put(graph, nodes)


def dead_out(graph: GraphProto) -> None:
    """Nodes and initialisers that no output hangs on."""
    needed = {one.name for one in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    _put(graph, nodes[::-1])
    kept = {one.name: one for one in graph.initializer if one.name in needed}
    copies = list(kept.values())
    del graph.initializer[:]
    graph.initializer.extend(copies)


def _put(graph: GraphProto, nodes: Sequence[NodeProto]) -> None:
    held = list(nodes)
    del graph.node[:]
    graph.node.extend(held)


def _bodies(node: NodeProto) -> Iterator[GraphProto]:
    for one in node.attribute:
        if one.type == AttributeProto.GRAPH:
            yield one.g
        yield from one.graphs


@dataclass(frozen=True)
class Wiring:
    """Who makes a value, and who takes it, by place."""

    makers: Mapping[str, int]
    takers: Mapping[str, tuple[int, ...]]


def wiring(graph: GraphProto, where: str) -> Wiring:
    """Raises InputRefused, naming ``where``, if two nodes make one value."""
    makers: dict[str, int] = {}
    takers: dict[str, list[int]] = {}
    made = Counter(name for node in graph.node for name in node.output if name)
    twice = next((name for name, count in made.items() if count > 1), None)
    if twice is not None:
        raise InputRefused(f"{where}: two nodes make {quoted(twice)}")
    for place, node in enumerate(graph.node):
        for name in dict.fromkeys(node.input):
            takers.setdefault(name, []).append(place)
        makers.update(dict.fromkeys(node.output, place))
    return Wiring(makers, {name: tuple(places) for name, places in takers.items()})
