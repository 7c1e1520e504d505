"""A form's parts out of a whole body, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from hcompress.serve.refused import Code, Refused

MOST_FIELDS: Final = 16
"""Fields beside the images."""


@dataclass
class Part:
    """One part, as it came."""

    name: str = ""
    """The field's."""
    is_file: bool = False
    headers: dict[bytes, bytes] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)


class _Parts:
    """What the parser calls as it goes."""

    def __init__(self, most: int) -> None:
        self.found: list[Part] = []
        self._most = most
        self._name = bytearray()
        self._value = bytearray()
        self.ended = False

    def on_part_begin(self) -> None:
        if len(self.found) >= self._most:
            raise Refused(Code.TOO_MANY_IMAGES, f"more than {self._most} parts in a request")
        self.found.append(Part())

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self.found[-1].headers[bytes(self._name).lower()] = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def on_headers_finished(self) -> None:
        from python_multipart.multipart import parse_options_header

        said = self.found[-1].headers.get(b"content-disposition", b"")
        _, options = parse_options_header(said)
        self.found[-1].name = options.get(b"name", b"").decode("utf-8", "replace")
        self.found[-1].is_file = b"filename" in options

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.found[-1].data += data[start:end]

    def on_end(self) -> None:
        self.ended = True


def parts_of(body: bytes, boundary: bytes, images: int) -> list[Part]:
    """The parts of a form of at most so many images.

    Raises Refused (422) if it is not such a form or was cut off, (413) for more parts.
    """
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import MultipartParser

    parts = _Parts(images + MOST_FIELDS)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.on_part_begin,
                "on_part_data": parts.on_part_data,
                "on_header_field": parts.on_header_field,
                "on_header_value": parts.on_header_value,
                "on_header_end": parts.on_header_end,
                "on_headers_finished": parts.on_headers_finished,
                "on_end": parts.on_end,
            },
        )
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Refused(Code.BAD_BODY, f"the form can't be read: {error}") from None
    if not parts.ended:
        raise Refused(Code.BAD_BODY, "the form was cut off before its last boundary")
    return parts.found
