"""Where the weights lie in a safetensors file, from its header alone.

Layout: u64 little-endian header length N; N bytes of JSON; the tensors' bytes back to back.
Stricter than the format asks: no holes, no overlap, nothing behind the last tensor.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, BinaryIO

from hcompress.errors import InputRefused
from hcompress.formats.layout import Layout, Piece
from hcompress.strict.files import open_regular, quoted, read_exactly, shown
from hcompress.strict.json import strict_json

# The format allows 100 MB, but JSON of that size can take gigabytes once parsed. A header
# of a thousand tensors and a charset of 20,948 characters takes some 0.2 MiB.
MAX_HEADER = 8 << 20
MAX_TENSORS = 50_000
MAX_DIMS = 64
BITS: dict[str, int] = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32,
    "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


def looks_like(head: bytes, size: int) -> bool:
    """Whether the first nine bytes can be a safetensors file of that size."""
    return len(head) >= 9 and head[8:9] == b"{" and _length(head) <= size - 8


def layout(path: Path) -> Layout:
    """Where every tensor's bytes lie. Raises InputRefused on the least inconsistency."""
    with open_regular(path) as (stream, size):
        header_length = _header_length(stream, size, path)
        text = read_exactly(stream, 8, header_length, path)
    header = strict_json(text, f"{shown(path)}: header")
    if not text.startswith(b"{") or not isinstance(header, dict):
        raise InputRefused(f"{shown(path)}: header is not a JSON object")
    metadata = _metadata(header.pop("__metadata__", {}), path)
    if len(header) > MAX_TENSORS:
        raise InputRefused(f"{shown(path)}: {len(header)} tensors; {MAX_TENSORS} are the most")
    start = 8 + header_length
    pieces = [_piece(name, entry, start, path) for name, entry in header.items()]
    pieces.sort(key=lambda piece: (piece.offset, piece.bytes))
    _check_contiguous(pieces, start, size, path)
    return Layout(path, size, tuple(pieces), metadata)


def _length(head: bytes) -> int:
    return int.from_bytes(head[:8], "little")


def _header_length(stream: BinaryIO, size: int, path: Path) -> int:
    if size < 10:
        raise InputRefused(f"{shown(path)}: {size} bytes are too few for a safetensors file")
    length = _length(read_exactly(stream, 0, 8, path))
    if length > size - 8:
        raise InputRefused(
            f"{shown(path)}: header of {length} bytes in a file of {size}: "
            "truncated or no safetensors file"
        )
    if length > MAX_HEADER:
        raise InputRefused(f"{shown(path)}: header of {length} bytes; {MAX_HEADER} are the most")
    return length


def _metadata(value: Any, path: Path) -> str | None:
    texts = isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
    if not texts:
        raise InputRefused(f"{shown(path)}: __metadata__ is not an object of texts")
    found = value.get("hcompress")
    return found if isinstance(found, str) else None


def _piece(name: str, entry: Any, start: int, path: Path) -> Piece:
    where = f"{shown(path)}: tensor {quoted(name)}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise InputRefused(f"{where}: entry is not {{dtype, shape, data_offsets}}")
    dtype = entry["dtype"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise InputRefused(f"{where}: unknown dtype {quoted(str(dtype))}")
    shape = _counts(entry["shape"], f"{where}: shape")
    offsets = _counts(entry["data_offsets"], f"{where}: data_offsets")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise InputRefused(f"{where}: data_offsets are not [begin, end]")
    elements = math.prod(shape)
    held = offsets[1] - offsets[0]
    if elements * BITS[dtype] != held * 8:
        raise InputRefused(
            f"{where}: shape and dtype ask for {-(-elements * BITS[dtype] // 8)} bytes, "
            f"data_offsets give {held}"
        )
    return Piece(name, elements, held, path, start + offsets[0], dtype, tuple(shape))


def _counts(value: Any, where: str) -> list[int]:
    if not isinstance(value, list) or len(value) > MAX_DIMS:
        raise InputRefused(f"{where} is not a list of at most {MAX_DIMS} numbers")
    for number in value:
        # bool is an int to Python; a true is no dimension.
        if type(number) is not int or not 0 <= number < 1 << 63:
            raise InputRefused(f"{where} holds {quoted(str(number)[:40])}, not a whole number")
    return value


def _check_contiguous(pieces: list[Piece], start: int, size: int, path: Path) -> None:
    end = start
    for piece in pieces:
        if piece.offset != end:
            fault = "overlaps another tensor" if piece.offset < end else "follows a hole"
            raise InputRefused(f"{shown(path)}: tensor {quoted(piece.name)} {fault}")
        end += piece.bytes
    if end != size:
        raise InputRefused(
            f"{shown(path)}: header describes {end} bytes, the file has {size}: "
            "truncated or appended to"
        )
