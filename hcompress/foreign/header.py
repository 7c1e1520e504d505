"""Whether a file is a foreign recogniser, and what it says of itself if it was made here."""

from __future__ import annotations

from hcompress.formats.open import Format, ModelFile
from hcompress.spec.foreign_header import CHARACTERS, FOREIGN, ForeignHeader, header_from
from hcompress.strict.files import shown


def is_foreign(file: ModelFile) -> bool:
    """Whether it is an ONNX file or a checkpoint of somebody else's, or made from one: no
    recogniser of ours.

    Raises InputRefused if it is damaged.
    """
    if file.bare:
        return True
    if file.format is not Format.ONNX:
        return False
    return file.header is None or file.header.get("format") == FOREIGN


def foreign_header(file: ModelFile) -> ForeignHeader | None:
    """What an ONNX file says in format 3; None if it has no header, or one of another format.

    Raises InputRefused if it is damaged.
    """
    if file.header is None or file.header.get("format") != FOREIGN:
        return None
    where = f"{shown(file.path)}: hcompress metadata"
    return header_from(file.header, file.layout.properties.get(CHARACTERS), where)
