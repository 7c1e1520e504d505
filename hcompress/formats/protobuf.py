"""The protobuf wire format: read field by field through a small window, and written.

Nothing is held but the window: a model of gigabytes is walked in megabytes, and no mapping
can turn into a bus error when the file shrinks underneath.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from hcompress.errors import InputRefused
from hcompress.strict.files import read_exactly, shown

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# An unrolled decoder of 3,500 nodes has some 60,000 fields.
MAX_FIELDS = 600_000
_WINDOW = 1 << 16
_VARINT_MAX = 10


class Field(NamedTuple):
    """One field. ``start``:``end`` is its payload in the file; ``value`` a varint's number."""

    number: int
    wire: int
    start: int
    end: int
    value: int


class Wire:
    """Random access to the fields of one protobuf file. Raises InputRefused when broken."""

    def __init__(self, stream: BinaryIO, size: int, path: Path) -> None:
        self.path = path
        self.size = size
        self._stream = stream
        self._window = b""
        self._base = 0
        self._covered = 0
        self._left = MAX_FIELDS

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message that lies at ``start``:``end``."""
        position = start
        while position < end:
            self._left -= 1
            if self._left < 0:
                raise self.refused(f"more than {MAX_FIELDS} fields")
            tag, position = self.varint(position, end)
            wire = tag & 7
            if wire == BYTES:
                length, position = self.varint(position, end)
                field = Field(tag >> 3, wire, position, position + length, 0)
                if length > end - position:
                    raise self.refused(
                        f"a field of {length} bytes at byte {position} runs past byte {end}: "
                        "truncated?"
                    )
            elif wire == VARINT:
                value, stop = self.varint(position, end)
                field = Field(tag >> 3, wire, position, stop, value)
            else:
                field = self._fixed(tag, position, end)
            if not 8 <= tag < 1 << 32:
                raise self.refused(f"field number {tag >> 3} at byte {position}")
            yield field
            position = field.end

    def varint(self, position: int, end: int) -> tuple[int, int]:
        """The unsigned number at ``position`` and where it ends."""
        index = position - self._base
        if not 0 <= index < self._covered:
            index = self._load(position)
        window = self._window
        # Nearly every tag and length is one byte: this line is the walk's inner loop.
        if position < end and window[index] < 0x80:
            return window[index], position + 1
        value = shift = 0
        for byte in window[index : index + min(_VARINT_MAX, end - position)]:
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, position + shift // 7
        raise self.refused(f"truncated or broken at byte {position}")

    def _load(self, position: int) -> int:
        """Move the window to ``position``; its index in there."""
        count = min(_WINDOW, self.size - position)
        self._window = read_exactly(self._stream, position, count, self.path)
        self._base = position
        # Up to here a whole varint lies in the window, or the file ends.
        self._covered = count if position + count == self.size else count - _VARINT_MAX + 1
        return 0

    def _fixed(self, tag: int, position: int, end: int) -> Field:
        width = {FIXED64: 8, FIXED32: 4}.get(tag & 7)
        if width is None or width > end - position:
            raise self.refused(f"truncated or broken at byte {position}")
        return Field(tag >> 3, tag & 7, position, position + width, 0)

    def payload(self, field: Field, limit: int) -> bytes:
        """The bytes of a small field."""
        if field.wire != BYTES or field.end - field.start > limit:
            raise self.refused(f"field {field.number} at byte {field.start} is too long")
        return read_exactly(self._stream, field.start, field.end - field.start, self.path)

    def text(self, field: Field, limit: int) -> str:
        """The same as UTF-8 text."""
        try:
            return self.payload(field, limit).decode("utf-8")
        except UnicodeDecodeError:
            raise self.refused(f"text at byte {field.start} is not UTF-8") from None

    def refused(self, what: str) -> InputRefused:
        """The error to raise, naming the file."""
        return InputRefused(f"{shown(self.path)}: broken protobuf: {what}")


def number(value: int) -> bytes:
    """A varint."""
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*written, value))


def field(place: int, payload: bytes | memoryview | str) -> Iterable[bytes | memoryview]:
    """A field of bytes, a text or a message, as pieces to be joined: none is copied before."""
    if isinstance(payload, str):
        payload = payload.encode()
    return number(place << 3 | BYTES) + number(len(payload)), payload


def numeric(place: int, value: int) -> bytes:
    """A field that is a varint."""
    return number(place << 3 | VARINT) + number(value)
