"""Which functions of a file are decoders of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import helper

from hcompress.onnx_writer.decoders import DOMAIN
from hcompress.onnx_writer.merged import MERGED_DECODERS
from hcompress.onnx_writer.packed import PACKED_DECODERS
from hcompress.onnx_writer.whole_numbers import INT_DECODERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnx import FunctionProto, OperatorSetIdProto


def is_decoder(function: FunctionProto, opsets: Iterable[OperatorSetIdProto]) -> bool:
    """Whether a function of a file is one of those that are written here, node for node."""
    known = {**PACKED_DECODERS, **INT_DECODERS, **MERGED_DECODERS}.get(function.name)
    if known is None or function.domain != DOMAIN:
        return False
    body = known()
    ours = helper.make_function(DOMAIN, function.name, body.inputs, ["y"], body.nodes, list(opsets))
    return bool(ours.node == function.node and ours.input == function.input) and (
        list(function.output) == ["y"]
    )
