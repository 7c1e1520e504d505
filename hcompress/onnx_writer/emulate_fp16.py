"""What a FP16 graph answers on hardware that computes in FP16, shown on a CPU.

onnxruntime runs FP16 on most CPUs in float32 and leaves out the conversions between, so that
its answers say nothing about FP16. Here every value of that type becomes a float32 that is
rounded to FP16 where it is made: what a device that sums in float32 gives.
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16


def rounded_in_float(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph, with float32 in place of FP16 and every such value rounded."""
    halves = _half_values(model)
    rounded = onnx.ModelProto()
    rounded.CopyFrom(model)
    graph = rounded.graph
    for tensor in graph.initializer:
        if tensor.data_type == FLOAT16:
            wide = numpy_helper.to_array(tensor).astype("float32")
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    for entry in (*graph.input, *graph.output):
        if entry.type.tensor_type.elem_type == FLOAT16:
            entry.type.tensor_type.elem_type = FLOAT
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        graph.node.extend(_rounding(node, halves))
    return rounded


def _half_values(model: onnx.ModelProto) -> frozenset[str]:
    """Names of the FP16 values."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    entries = (*inferred.graph.value_info, *inferred.graph.output)
    typed = {entry.name: entry.type.tensor_type.elem_type for entry in entries}
    for node in model.graph.node:
        for name in node.output:
            if name and name not in typed:
                raise AssertionError(f"no type was inferred for {name}")
    return frozenset(name for name, kind in typed.items() if kind == FLOAT16)


def _rounding(node: onnx.NodeProto, halves: frozenset[str]) -> list[onnx.NodeProto]:
    made = [name for name in node.output if name in halves]
    written = [node]
    if node.op_type in ("Cast", "Narrow") and made:
        # The value itself, then the rounding below.
        written = [helper.make_node("Cast", node.input, node.output, to=FLOAT)]
    for name in made:
        exact, half = f"{name}.exact", f"{name}.half"
        for other in written:
            other.output[:] = [exact if entry == name else entry for entry in other.output]
        written.append(helper.make_node("Cast", [exact], [half], to=FLOAT16))
        written.append(helper.make_node("Cast", [half], [name], to=FLOAT))
    return written
