"""Every weight is in a file once, as it was: exporters undo sharing, and simplifiers fold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import onnx
from torch import Tensor

from hcompress.errors import NumericalError
from hcompress.onnx_writer.graph import halved_if_exact

TABLES = frozenset(("decoder.positions", "backbone.row_positions", "backbone.column_positions"))
"""Computed, not trained: no checkpoint holds them."""
SMALL = 8192
"""Bytes a constant of the graph may have: shapes, numbers, and 256 bytes' signs."""


def check_stored_once(
    model: onnx.ModelProto, weights: Mapping[str, Tensor], *, store_half: bool, whole: bool
) -> int:
    """Bytes of the weights in the file.

    Raises NumericalError where a large tensor is not one of ``weights`` under its own name with
    its own contents, is there twice, or, in a ``whole`` model, where one is missing.
    """
    total, left = 0, dict(weights)
    for tensor in _tensors(model):
        size = len(tensor.raw_data)
        if tensor.name in left:
            if _digest(tensor.raw_data) != _stored_digest(left.pop(tensor.name), store_half):
                raise NumericalError(f"export: tensor {tensor.name} is not what it was")
            total += size
        elif size > SMALL and tensor.name not in TABLES:
            raise NumericalError(
                f"export: {size} bytes of {tensor.name!r} are none of the model's weights, or"
                " one of them a second time: exported weights exceed the unique weights"
            )
    if whole and left:
        raise NumericalError(f"export: tensor {min(left)} is missing")
    return total


def _stored_digest(tensor: Tensor, store_half: bool) -> bytes:
    tensor = tensor.detach().cpu().contiguous()
    if store_half and tensor.is_floating_point():
        tensor = halved_if_exact(tensor)
    return _digest(tensor.numpy().tobytes())


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Initialisers and constants, of loop bodies and functions too."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.TENSOR:
            yield attribute.t
        elif attribute.type == onnx.AttributeProto.GRAPH:
            yield from _graph_tensors(attribute.g)
