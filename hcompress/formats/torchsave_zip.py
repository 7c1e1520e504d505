"""The zip container of torch.save: a strict reader for stored members and nothing else.

The standard library's reader is lenient by design: duplicate names, overlapping members,
deflate bombs. A checkpoint has none of these, so here each one is refused.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hcompress.errors import InputRefused
from hcompress.strict.files import chunks, quoted, read_exactly, shown

MAGIC = b"PK\x03\x04"
# torch.save writes one member a tensor, some 70 bytes each here.
MAX_DIRECTORY = 4 << 20
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64 = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_FULL = 0xFFFFFFFF
_DESCRIPTOR, _UTF8 = 0x0008, 0x0800


@dataclass(frozen=True, slots=True)
class Member:
    """One stored member: where its header and its bytes lie, and the CRC they must have."""

    name: str
    header: int
    offset: int
    bytes: int
    crc: int


def members(stream: BinaryIO, size: int, path: Path) -> dict[str, Member]:
    """Every member by name, in the order of the directory.

    Raises InputRefused on compression, encryption, duplicate names, overlapping members and
    anything else torch.save does not write. Reads headers only; see ``verified``.
    """
    start, end, count = _directory(stream, size, path)
    data = read_exactly(stream, start, end - start, path)
    found: dict[str, Member] = {}
    position = 0
    while position < len(data):
        position, member = _central(data, position, stream, start, path)
        if member.name in found:
            raise InputRefused(f"{shown(path)}: two members are named {quoted(member.name)}")
        found[member.name] = member
    if len(found) != count:
        raise InputRefused(f"{shown(path)}: zip directory lists {len(found)} of {count} members")
    _check_apart(list(found.values()), path)
    return found


def verified(stream: BinaryIO, member: Member, path: Path) -> Iterator[bytes]:
    """The member's bytes in chunks. Raises InputRefused at the end where its CRC is wrong."""
    crc = 0
    for chunk in chunks(stream, member.offset, member.bytes, path):
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if crc != member.crc:
        raise InputRefused(
            f"{shown(path)}: member {quoted(member.name)}: CRC does not match: "
            "the file is damaged, copy it again"
        )


def _directory(stream: BinaryIO, size: int, path: Path) -> tuple[int, int, int]:
    """Start and end of the central directory, and how many members it must list."""
    broken = f"{shown(path)}: zip end record is missing or damaged: truncated?"
    if size < _END.size:
        raise InputRefused(broken)
    end_at = size - _END.size
    sig, disk, cd_disk, here, total, length, start, comment = _END.unpack(
        read_exactly(stream, end_at, _END.size, path)
    )
    if sig != b"PK\x05\x06" or comment or disk or cd_disk or here != total:
        raise InputRefused(broken)
    ends_at = end_at
    found64 = _directory64(stream, end_at, path)
    if found64 is not None:
        ends_at, total, length, start = found64
    if start + length != ends_at:
        raise InputRefused(broken)
    if length > MAX_DIRECTORY:
        raise InputRefused(
            f"{shown(path)}: zip directory of {length} bytes; {MAX_DIRECTORY} are the most"
        )
    return start, start + length, total


def _directory64(stream: BinaryIO, end_at: int, path: Path) -> tuple[int, int, int, int] | None:
    locator_at = end_at - _LOCATOR64.size
    if locator_at < _END64.size:
        return None
    sig, _, record_at, _ = _LOCATOR64.unpack(
        read_exactly(stream, locator_at, _LOCATOR64.size, path)
    )
    if sig != b"PK\x06\x07":
        return None
    if record_at != locator_at - _END64.size:
        raise InputRefused(f"{shown(path)}: zip64 end record is not where it must be")
    sig, _, _, _, disk, cd_disk, here, total, length, start = _END64.unpack(
        read_exactly(stream, record_at, _END64.size, path)
    )
    if sig != b"PK\x06\x06" or disk or cd_disk or here != total:
        raise InputRefused(f"{shown(path)}: zip64 end record is damaged")
    return record_at, total, length, start


def _central(
    data: bytes, position: int, stream: BinaryIO, limit: int, path: Path
) -> tuple[int, Member]:
    broken = f"{shown(path)}: zip directory is damaged"
    if len(data) - position < _CENTRAL.size:
        raise InputRefused(broken)
    fields = _CENTRAL.unpack_from(data, position)
    sig, flags, method, crc = fields[0], fields[3], fields[4], fields[7]
    stored, plain, header = fields[8], fields[9], fields[16]
    name_length, extra_length, comment_length = fields[10:13]
    name_at = position + _CENTRAL.size
    after = name_at + name_length + extra_length + comment_length
    if sig != b"PK\x01\x02" or after > len(data):
        raise InputRefused(broken)
    name = _name(data[name_at : name_at + name_length], path)
    _check_stored(flags, method, name, path)
    extra = data[name_at + name_length : name_at + name_length + extra_length]
    plain, stored, header = _zip64((plain, stored, header), extra, path)
    if stored != plain:
        raise InputRefused(f"{shown(path)}: member {quoted(name)}: sizes disagree")
    offset = _data_offset(stream, header, name, limit, path)
    if offset + plain > limit:
        raise InputRefused(f"{shown(path)}: member {quoted(name)} runs past the end")
    return after, Member(name, header, offset, plain, crc)


def _name(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise InputRefused(f"{shown(path)}: a member's name is not UTF-8") from None


def _check_stored(flags: int, method: int, name: str, path: Path) -> None:
    if flags & ~(_DESCRIPTOR | _UTF8):
        raise InputRefused(f"{shown(path)}: member {quoted(name)} is encrypted or patched")
    if method:
        raise InputRefused(
            f"{shown(path)}: member {quoted(name)} is compressed; torch.save never compresses: "
            "save the state_dict with torch.save"
        )


def _zip64(sizes: tuple[int, int, int], extra: bytes, path: Path) -> tuple[int, int, int]:
    """Replace each value that is full (2³² − 1) by its 64-bit one from the extra field."""
    if _FULL not in sizes:
        return sizes
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        body = extra[position + 4 : position + 4 + length]
        position += 4 + length
        if kind == 1 and len(body) == length and length >= 8 * sizes.count(_FULL):
            wide = iter(struct.unpack_from(f"<{sizes.count(_FULL)}Q", body))
            plain, stored, header = (next(wide) if v == _FULL else v for v in sizes)
            return plain, stored, header
    raise InputRefused(f"{shown(path)}: zip64 sizes are missing")


def _data_offset(stream: BinaryIO, header: int, name: str, limit: int, path: Path) -> int:
    where = f"{shown(path)}: member {quoted(name)}"
    if header + _LOCAL.size > limit:
        raise InputRefused(f"{where}: header lies past the end")
    fields = _LOCAL.unpack(read_exactly(stream, header, _LOCAL.size, path))
    sig, method = fields[0], fields[3]
    lengths: tuple[int, int] = fields[9:11]
    if sig != MAGIC or method:
        raise InputRefused(f"{where}: local header is damaged")
    local_name = read_exactly(stream, header + _LOCAL.size, lengths[0], path)
    if local_name != name.encode():
        raise InputRefused(f"{where}: is called {quoted(repr(local_name))} in its own header")
    return header + _LOCAL.size + sum(lengths)


def _check_apart(found: list[Member], path: Path) -> None:
    end = 0
    for member in sorted(found, key=lambda m: m.header):
        if member.header < end:
            raise InputRefused(f"{shown(path)}: member {quoted(member.name)} overlaps another")
        end = member.offset + member.bytes
