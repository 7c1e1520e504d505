"""Encoder and decoder step joined into one graph that decodes a whole batch greedily.

The portable form does the same on a CPU; this one is made of the serving form's own nodes, so
that an engine computes what was compared with torch. TensorRT gets loop outputs of a fixed
length: it cannot stack what a loop that ends early gives.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hcompress.errors import InputRefused
from hcompress.spec.transcription import AUTOREGRESSIVE

BOOL, FLOAT, INT64 = TensorProto.BOOL, TensorProto.FLOAT, TensorProto.INT64
CROSS = ("cross_keys", "cross_values")
CACHES = ("keys", "values")
CODEBOOK = "step.codebook"


def whole_loop(encoder: onnx.ModelProto, step: onnx.ModelProto) -> onnx.ModelProto:
    """images uint8 [N, H, W, 3] -> ids int64 [N, T, k], probabilities float32 [N, T, k].

    T is always the most steps there are; after a line's EOS ids are PAD, with probability 1.
    What of a step depends on nothing but weights and cross-attention is done once, in front.
    Raises InputRefused where the two are not a pair.
    """
    shapes = _shapes(encoder, step)
    encoder, step = _prefixed(encoder, "encoder."), _prefixed(step, "step.")
    _keep_packed(step)
    once, each = _hoisted(step)
    start, constants = _start(shapes)
    loop = helper.make_node(
        "Loop",
        ["limit", "always", *start],
        ["last.end", "keys.end", "values.end", "ids", "probabilities"],
        body=_body(each, shapes),
    )
    initialisers = [*encoder.graph.initializer, *step.graph.initializer, *constants]
    graph = helper.make_graph(
        [*encoder.graph.node, *_starting_nodes(), *once, loop],
        "greedy",
        encoder.graph.input,
        [
            helper.make_tensor_value_info("ids", INT64, ["N", *shapes["ids"][1]]),
            helper.make_tensor_value_info("probabilities", FLOAT, ["N", *shapes["ids"][1]]),
        ],
        initializer=initialisers,
    )
    functions = {f.name: f for f in (*encoder.functions, *step.functions)}
    whole = helper.make_model(
        graph,
        functions=[functions[name] for name in sorted(functions)],
        opset_imports=_opsets(encoder, step),
    )
    whole.ir_version = encoder.ir_version
    return whole


Shapes = dict[str, tuple[int, tuple[int, ...]]]
"""Type and shape without the batch, by name."""


def _shapes(encoder: onnx.ModelProto, step: onnx.ModelProto) -> Shapes:
    ends = {e.name: e for e in step.graph.input} | {e.name: e for e in step.graph.output}
    made = {e.name: e for e in encoder.graph.output}
    wanted = (*CACHES, *CROSS, "candidates", "probabilities", "new_keys", "new_values")
    missing = [name for name in wanted if name not in ends] + [n for n in CROSS if n not in made]
    if missing:
        raise InputRefused(f"serving form: no {missing[0]}: export it again")
    found = {name: _type(ends[name]) for name in wanted}
    if any(_type(made[name]) != found[name] for name in CROSS):
        raise InputRefused("serving form: encoder and decoder step are not of one export")
    steps = found["keys"][1][-1]
    found["ids"] = (INT64, (steps, *found["candidates"][1]))
    return found


def _type(entry: onnx.ValueInfoProto) -> tuple[int, tuple[int, ...]]:
    kind = entry.type.tensor_type
    return kind.elem_type, tuple(d.dim_value for d in kind.shape.dim[1:])


def _prefixed(model: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    """A copy whose values are renamed, but for the graph's inputs and outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kept = {entry.name for entry in (*copy.graph.input, *copy.graph.output)} | {""}
    for node in copy.graph.node:
        node.input[:] = [n if n in kept else prefix + n for n in node.input]
        node.output[:] = [n if n in kept else prefix + n for n in node.output]
        node.name = prefix + node.output[0]
    for tensor in copy.graph.initializer:
        tensor.name = prefix + tensor.name
    return copy


def _keep_packed(step: onnx.ModelProto) -> None:
    """Let a codebook lie in an engine as it does in the file, a byte for eight bits.

    TensorRT widens uint8 constants to 32 bits, but leaves int8 ones that are dequantised alone:
    so each byte is stored less 128, and 128 added to what comes out.
    """
    packed = next((t for t in step.graph.initializer if t.name == CODEBOOK), None)
    if packed is None:
        return
    bytes_ = numpy_helper.to_array(packed)
    stored = f"{CODEBOOK}.int8"
    packed.CopyFrom(numpy_helper.from_array(as_int8(bytes_), stored))
    half = np.float16
    step.graph.initializer.extend(
        numpy_helper.from_array(np.array(number, half), name)
        for name, number in (("step.scale", 1), ("step.offset", 128))
    )
    ahead = [
        helper.make_node("DequantizeLinear", [stored, "step.scale"], ["step.shifted"]),
        helper.make_node("Add", ["step.shifted", "step.offset"], ["step.bytes"]),
        helper.make_node("Cast", ["step.bytes"], [CODEBOOK], to=TensorProto.INT32),
    ]
    nodes = [*ahead, *step.graph.node]
    del step.graph.node[:]
    step.graph.node.extend(nodes)


def as_int8(packed: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Each byte less 128."""
    return (packed ^ 0x80).view(np.int8)


def _hoisted(step: onnx.ModelProto) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
    """Nodes that give the same at every step, and the others."""
    known = {tensor.name for tensor in step.graph.initializer} | set(CROSS) | {""}
    once: list[onnx.NodeProto] = []
    each: list[onnx.NodeProto] = []
    for node in step.graph.node:
        same = all(name in known for name in node.input)
        (once if same else each).append(node)
        if same:
            known.update(node.output)
    return once, each


def _start(shapes: Shapes) -> tuple[list[str], list[TensorProto]]:
    """The loop's first state and the constants it is made of."""
    kept = shapes["ids"][1]
    constants: dict[str, NDArray[np.generic]] = {
        "limit": np.array(kept[0], np.int64),
        "always": np.array(True),
        "keys.shape": np.array(shapes["keys"][1], np.int64),
        "values.shape": np.array(shapes["values"][1], np.int64),
        "ids.shape": np.array(kept, np.int64),
        "bos": np.array(AUTOREGRESSIVE.bos, np.int64),
        "eos": np.array(AUTOREGRESSIVE.eos, np.int64),
        "pad": np.array(AUTOREGRESSIVE.pad, np.int64),
        "certain": np.array(1, np.float32),
        "nothing": np.array(0, helper.tensor_dtype_to_np_dtype(shapes["keys"][0])),
        "first": np.array(0, np.int64),
        "axis": np.array([1], np.int64),
        "turns": np.arange(kept[0], dtype=np.int64)[:, None],
    }
    state = ["last.start", "keys.start", "values.start", "ids.start", "probabilities.start"]
    return state, [numpy_helper.from_array(array, name) for name, array in constants.items()]


def _starting_nodes() -> list[onnx.NodeProto]:
    nodes = [helper.make_node("Shape", ["images"], ["count"], start=0, end=1)]
    nodes.append(helper.make_node("Expand", ["bos", "count"], ["last.start"]))
    for name, shape, filler in (
        ("keys", "keys", "nothing"),
        ("values", "values", "nothing"),
        ("ids", "ids", "pad"),
        ("probabilities", "ids", "certain"),
    ):
        size = f"{name}.size"
        nodes.append(helper.make_node("Concat", ["count", f"{shape}.shape"], [size], axis=0))
        nodes.append(helper.make_node("Expand", [filler, size], [f"{name}.start"]))
    return nodes


def _body(step: Iterable[onnx.NodeProto], shapes: Shapes) -> onnx.GraphProto:
    """One turn: the step, its answer written into its place, and whether any line goes on."""
    state = {
        "ids": (INT64, ()),
        "keys": shapes["keys"],
        "values": shapes["values"],
        "ids.so_far": shapes["ids"],
        "probabilities.so_far": (FLOAT, shapes["ids"][1]),
    }
    after = ["ids.next", "new_keys", "new_values", "ids.then", "probabilities.then"]
    nodes = [_inside(node) for node in step]
    nodes += [
        helper.make_node("Gather", ["candidates", "first"], ["ids.next"], axis=1),
        helper.make_node("Equal", ["ids.next", "eos"], ["is_eos"]),
        helper.make_node("Equal", ["ids.next", "pad"], ["is_pad"]),
        helper.make_node("Or", ["is_eos", "is_pad"], ["over"]),
        helper.make_node("Not", ["over"], ["running"]),
        helper.make_node("Cast", ["running"], ["running.number"], to=TensorProto.INT32),
        helper.make_node("ReduceMax", ["running.number"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["goes_on"], to=BOOL),
        helper.make_node("Equal", ["turns", "position"], ["here"]),
    ]
    for name, answer in (("ids", "candidates"), ("probabilities", "step_probabilities")):
        nodes.append(helper.make_node("Unsqueeze", [answer, "axis"], [f"{name}.now"]))
        written = ["here", f"{name}.now", f"{name}.so_far"]
        nodes.append(helper.make_node("Where", written, [f"{name}.then"]))
    inputs = [
        helper.make_tensor_value_info("position", INT64, []),
        helper.make_tensor_value_info("going", BOOL, []),
        *_infos(state, list(state)),
    ]
    outputs = [helper.make_tensor_value_info("goes_on", BOOL, []), *_infos(state, after)]
    return helper.make_graph(nodes, "turn", inputs, outputs)


def _infos(state: Shapes, names: list[str]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, kind, ["N", *shape])
        for name, (kind, shape) in zip(names, state.values(), strict=True)
    ]


def _inside(node: onnx.NodeProto) -> onnx.NodeProto:
    """The graph has an output called like the step's: the step's gets another name."""
    node.output[:] = ["step_probabilities" if n == "probabilities" else n for n in node.output]
    return node


def _opsets(*models: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    versions = {entry.domain: entry.version for model in models for entry in model.opset_import}
    return [helper.make_opsetid(domain, versions[domain]) for domain in sorted(versions)]
