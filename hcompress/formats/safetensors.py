"""Where the weights lie in a safetensors file, from its header alone.

Layout: u64 little-endian header length N; N bytes of JSON; the tensors' bytes back to back.
Stricter than the format asks: no holes, no overlap, nothing behind the last tensor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO

from hcompress.errors import InputRefused
from hcompress.formats.layout import Layout, Piece
from hcompress.strict.files import open_regular, quoted, read_exactly, shown
from hcompress.strict.json import strict_json
from hcompress.strict.read import read
from hcompress.strict.schema import Param

# The format allows 100 MB, but JSON of that size can take gigabytes once parsed. A header
# of a thousand tensors and a charset of 20,948 characters takes some 0.2 MiB.
MAX_HEADER = 8 << 20
MAX_TENSORS = 50_000
MAX_DIMS = 64
_Size = Param(minimum=0, maximum=2**63 - 1)
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
    metadata = read(dict[str, str], header.pop("__metadata__", {}), f"{shown(path)}: __metadata__")
    if len(header) > MAX_TENSORS:
        raise InputRefused(f"{shown(path)}: {len(header)} tensors; {MAX_TENSORS} are the most")
    start = 8 + header_length
    pieces = [_piece(name, entry, start, path) for name, entry in header.items()]
    pieces.sort(key=lambda piece: (piece.offset, piece.bytes))
    _check_contiguous(pieces, start, size, path)
    return Layout(path, size, tuple(pieces), metadata.get("hcompress"))


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


@dataclass(frozen=True)
class _Tensor:
    """A tensor's entry in the header."""

    dtype: str
    shape: Annotated[tuple[int, ...], _Size]
    data_offsets: Annotated[tuple[int, int], _Size]

    def __post_init__(self) -> None:
        if self.dtype not in BITS:
            raise InputRefused(f"unknown dtype {quoted(self.dtype)}")
        if len(self.shape) > MAX_DIMS:
            raise InputRefused(f"{len(self.shape)} dimensions; {MAX_DIMS} are the most")
        if self.data_offsets[0] > self.data_offsets[1]:
            raise InputRefused("data_offsets are not [begin, end]")


def _piece(name: str, raw: Any, start: int, path: Path) -> Piece:
    where = f"{shown(path)}: tensor {quoted(name)}"
    entry = read(_Tensor, raw, where)
    begin, end = entry.data_offsets
    elements, bits = math.prod(entry.shape), BITS[entry.dtype]
    if elements * bits != (end - begin) * 8:
        raise InputRefused(
            f"{where}: shape and dtype ask for {-(-elements * bits // 8)} bytes, "
            f"data_offsets give {end - begin}"
        )
    return Piece(name, elements, end - begin, path, start + begin, entry.dtype, tuple(entry.shape))


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
