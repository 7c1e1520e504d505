"""A graph brought to a newer opset."""

from __future__ import annotations

from typing import Final

from onnx import ModelProto

from hcompress.errors import InputRefused

ONNX: Final = ("", "ai.onnx")


def opset_of(proto: ModelProto) -> int:
    """The version of ONNX's own operators; 0 if the graph does not say."""
    return next((one.version for one in proto.opset_import if one.domain in ONNX), 0)


def raised(proto: ModelProto, least: int, reason: str) -> ModelProto:
    """A copy of that opset at least, inputs and outputs as they were said.

    Raises InputRefused, with the ``reason`` for it, if the graph cannot be brought there.
    """
    made = ModelProto()
    made.CopyFrom(proto)
    old = opset_of(proto)
    if old >= least:
        return made
    from onnx.version_converter import ConvertError, convert_version

    try:
        newer = convert_version(made, least)
    except (ConvertError, RuntimeError) as error:
        line = " ".join(str(error).split())[:200]
        raise InputRefused(
            f"opset {old} cannot be brought to {least}, {reason}: export it again: {line}"
        ) from None
    del made.graph.node[:], made.graph.initializer[:], made.opset_import[:]
    made.graph.node.extend(newer.graph.node)
    made.graph.initializer.extend(newer.graph.initializer)
    made.opset_import.extend(newer.opset_import)
    made.ir_version = max(made.ir_version, newer.ir_version)
    return made
