"""Graphs that compute in FP16, as graphs of float32: weights are packed and trained as floats."""

from __future__ import annotations

import numpy as np
from onnx import AttributeProto, GraphProto, TensorProto, numpy_helper

_HALF = TensorProto.FLOAT16


def out_of_halves(graph: GraphProto) -> None:
    """Make of every FP16 tensor one of float32, in place: the same numbers, and no less precision.

    A graph whose inputs or outputs are FP16 stays as it is.
    """
    ends = (*graph.input, *graph.output)
    if any(one.type.tensor_type.elem_type == _HALF for one in ends):
        return
    for tensor in graph.initializer:
        _widen(tensor)
    for node in graph.node:
        for given in node.attribute:
            if node.op_type == "Cast" and given.name == "to" and given.i == _HALF:
                given.i = TensorProto.FLOAT
            elif given.type == AttributeProto.TENSOR:
                _widen(given.t)


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type == _HALF:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
