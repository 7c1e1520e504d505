"""What parsing an ONNX file does not look at, and everything behind it takes for granted."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from onnx import ModelProto, NodeProto, defs

from hcompress.strict.files import quoted

if TYPE_CHECKING:
    from google.protobuf.message import Message


def damage(proto: ModelProto) -> str | None:
    """What is wrong with a model's words or its graph's wires; None if nothing is.

    A name that is not UTF-8, a node with fewer inputs or outputs than its operator takes, nodes
    that wait for each other. Operators that ONNX does not know may have any.
    """
    if _has_broken_text(proto):
        return "a name in it is not UTF-8"
    said = {_domain(one.domain): one.version for one in proto.opset_import}
    versions = {"": defs.onnx_opset_version(), **said}
    for node in proto.graph.node:
        if _is_short(node, versions):
            return f"a node {quoted(node.op_type)} without its inputs or outputs"
    makers = {name: place for place, node in enumerate(proto.graph.node) for name in node.output}
    waits = {
        place: [makers[name] for name in node.input if name in makers]
        for place, node in enumerate(proto.graph.node)
    }
    try:
        TopologicalSorter(waits).prepare()
    except CycleError:
        return "its nodes go round in a circle"
    return None


def _is_short(node: NodeProto, versions: Mapping[str, int]) -> bool:
    domain = _domain(node.domain)
    version = versions.get(domain)
    if version is None or not defs.has(node.op_type, version, domain):
        return False
    schema = defs.get_schema(node.op_type, version, domain)
    return bool(len(node.input) < schema.min_input or len(node.output) < schema.min_output)


def _domain(name: str) -> str:
    """ONNX's own has two names."""
    return "" if name == "ai.onnx" else name


def _has_broken_text(message: Message) -> bool:
    """Whether any text in the message, or in one inside of it, is not UTF-8."""
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message as AnyMessage

    try:
        for field, value in message.ListFields():
            if field.type == FieldDescriptor.TYPE_STRING:
                broken = any(isinstance(one, bytes) for one in _each(value, str | bytes))
            elif field.type == FieldDescriptor.TYPE_MESSAGE:
                broken = any(map(_has_broken_text, _each(value, AnyMessage)))
            else:
                continue
            if broken:
                return True
    except UnicodeDecodeError:  # some releases of protobuf raise it, others give bytes
        return True
    return False


def _each(value: Any, single: Any) -> list[Any]:
    """A field's values, whether it may have one or many."""
    return [value] if isinstance(value, single) else list(value)
