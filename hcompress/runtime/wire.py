"""The protobuf wire format in memory: messages taken apart, and put together from the parts.

Parts are views of the bytes they came from: a weight is copied once, into the message written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hcompress.errors import InputRefused

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class Part(NamedTuple):
    """One field: its number, its payload, and the whole of it, tag and length included."""

    number: int
    payload: memoryview
    whole: memoryview

    def text(self) -> str:
        """The payload as UTF-8 text. Raises InputRefused where it is none."""
        try:
            return str(self.payload, "utf-8")
        except UnicodeDecodeError:
            raise InputRefused("broken protobuf: a name is not UTF-8") from None


def parts(message: memoryview) -> Iterator[Part]:
    """The fields of a message in order. Raises InputRefused where it is broken."""
    place, end = 0, len(message)
    while place < end:
        start = place
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == BYTES:
            length, place = _varint(message, place)
        elif kind == VARINT:
            length = _varint(message, place)[1] - place
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        else:
            raise InputRefused(f"broken protobuf: wire type {kind}")
        if length > end - place:
            raise InputRefused("broken protobuf: a field runs past its message")
        payload = message[place : place + length]
        place += length
        yield Part(tag >> 3, payload, message[start:place])


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    if place < len(message) and message[place] < 0x80:
        return message[place], place + 1  # nearly every tag and length
    value = shift = 0
    for offset, byte in enumerate(message[place : place + 10]):
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + offset + 1
        shift += 7
    raise InputRefused("broken protobuf: a number without an end")


def number(value: int) -> bytes:
    """A varint."""
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*written, value))


def field(place: int, payload: bytes | memoryview | str) -> Iterable[bytes | memoryview]:
    """A field of bytes, a text or a message, as pieces to be joined."""
    if isinstance(payload, str):
        payload = payload.encode()
    return number(place << 3 | BYTES) + number(len(payload)), payload


def numeric(place: int, value: int) -> bytes:
    """A field that is a varint."""
    return number(place << 3 | VARINT) + number(value)
