"""Whether all that a protobuf message says in words is UTF-8: parsing it does not look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message


def has_broken_text(message: Message) -> bool:
    """Whether any text in the message, or in one inside of it, is not UTF-8."""
    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message as AnyMessage

    try:
        for field, value in message.ListFields():
            if field.type == FieldDescriptor.TYPE_STRING:
                broken = any(isinstance(one, bytes) for one in _each(value, str | bytes))
            elif field.type == FieldDescriptor.TYPE_MESSAGE:
                broken = any(map(has_broken_text, _each(value, AnyMessage)))
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
