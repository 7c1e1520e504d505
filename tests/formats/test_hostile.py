"""Hostile and damaged files: one line of InputRefused each, nothing run, nothing opened outside."""

from __future__ import annotations

import os
import pickle
import socket
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hcompress import sizes
from hcompress.errors import HcompressError, InputRefused, UsageError
from tests import model_files as make

T = TypeVar("T")

META = make.p_dict({})
TENSOR = make.p_tensor("0", 4, [4], [1])


def refused(path: Path, match: str | None = None) -> str:
    """The line the file is refused with."""
    with pytest.raises(InputRefused, match=match) as caught:
        sizes.breakdown(path)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 600
    assert str(path)[:20] in line
    return line


def one_line_or(read: Callable[[Path], T], path: Path) -> T | None:
    """What ``read`` makes of the file; None where it refuses it, in one line."""
    error = None
    try:
        return read(path)
    except HcompressError as caught:
        error = caught
    assert str(error).isprintable()
    return None


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# ---- safetensors

ENTRY = make.tensor_entry
SAFETENSORS: dict[str, tuple[bytes, str]] = {
    "header longer than the file": (struct.pack("<Q", 1 << 40) + b"{}", "truncated"),
    "header of 2^64 - 1": (b"\xff" * 8 + b"{}", "truncated"),
    "header over the limit": (struct.pack("<Q", 20 << 20) + b"{" + b" " * (20 << 20), "most"),
    "too short": (b"\x02\0\0\0", "too few"),
    "not JSON": (make.safetensors_bytes(b"{nonsense"), "JSON"),
    "not UTF-8": (make.safetensors_bytes(b'{"\xff":1}'), "UTF-8"),
    "not an object": (make.safetensors_bytes(b"[]"), "object"),
    "leading space": (make.safetensors_bytes(b" {}"), "object"),
    "duplicate key": (
        make.safetensors_bytes(
            b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
            b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
            b"x",
        ),
        "twice",
    ),
    "deep nesting": (make.safetensors_bytes(b'{"a":' + b"[" * 100_000), "JSON"),
    "unknown dtype": (make.safetensors_bytes({"a": ENTRY(0, 4, [1], "F128")}, bytes(4)), "dtype"),
    "entry with more keys": (
        make.safetensors_bytes({"a": {**ENTRY(0, 4, [1]), "x": 1}}, bytes(4)),
        'unknown key "x"; keys: data_offsets, dtype, shape',
    ),
    "entry that is no object": (make.safetensors_bytes({"a": [1]}), "must be a table"),
    "true as a dimension": (make.safetensors_bytes({"a": ENTRY(0, 4, [True])}, bytes(4)), "whole"),
    "negative dimension": (make.safetensors_bytes({"a": ENTRY(0, 4, [-1])}, bytes(4)), "must be 0"),
    "float dimension": (make.safetensors_bytes({"a": ENTRY(0, 4, [1.0])}, bytes(4)), "whole"),
    "NaN": (
        make.safetensors_bytes(b'{"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,1]}}'),
        "no number",
    ),
    "number of 5000 digits": (
        make.safetensors_bytes(b'{"a":{"dtype":"U8","shape":[' + b"9" * 5000 + b"]}}"),
        "JSON",
    ),
    "too many dimensions": (make.safetensors_bytes({"a": ENTRY(0, 4, [1] * 65)}, bytes(4)), "most"),
    "shape against offsets": (make.safetensors_bytes({"a": ENTRY(0, 4, [2])}, bytes(4)), "ask for"),
    "shape of 4 TB": (make.safetensors_bytes({"a": ENTRY(0, 4, [1 << 40])}, bytes(4)), "ask for"),
    "shape of 2^63": (make.safetensors_bytes({"a": ENTRY(0, 0, [0, 1 << 63])}), "must be 0 to"),
    "offset of 2^63": (make.safetensors_bytes({"a": ENTRY(1 << 63, 1 << 63, [0])}), "must be 0 to"),
    "shape of 2^32, four bytes": (
        make.safetensors_bytes({"a": ENTRY(0, 4, [1 << 32, 1])}, bytes(4)),
        "ask for 17179869184 bytes",
    ),
    "shape of 2^32 + 1, four bytes": (
        make.safetensors_bytes({"a": ENTRY(0, 4, [(1 << 32) + 1])}, bytes(4)),
        "ask for 17179869188 bytes",
    ),
    "header of 2^32 + 2": (struct.pack("<Q", (1 << 32) + 2) + b"{}", "truncated"),
    "offsets reversed": (make.safetensors_bytes({"a": ENTRY(4, 0, [1])}, bytes(4)), "begin"),
    "overlap": (
        make.safetensors_bytes({"a": ENTRY(0, 8, [2]), "b": ENTRY(4, 8, [1])}, bytes(8)),
        "overlaps",
    ),
    "hole": (
        make.safetensors_bytes({"a": ENTRY(0, 4, [1]), "b": ENTRY(8, 12, [1])}, bytes(12)),
        "hole",
    ),
    "data missing": (make.safetensors_bytes({"a": ENTRY(0, 8, [2])}, bytes(4)), "truncated"),
    "data behind the end": (make.safetensors_bytes({"a": ENTRY(0, 4, [1])}, bytes(5)), "appended"),
    "metadata of numbers": (make.safetensors_bytes({"__metadata__": {"a": 1}}), "a string"),
    "metadata a list": (make.safetensors_bytes({"__metadata__": []}), "a table"),
}


@pytest.mark.parametrize("name", SAFETENSORS)
def test_safetensors(name: str, tmp_path: Path) -> None:
    data, match = SAFETENSORS[name]
    refused(write(tmp_path, "m.safetensors", data), match)


def test_names_are_shown_on_one_line_and_cut(tmp_path: Path) -> None:
    for name in ("a\nb\r\x1b[31m", "\ud800", "x" * 5000, "\u202eevil", "汉字"):
        data = make.safetensors_bytes({name: {"dtype": "U8"}})
        line = refused(write(tmp_path, "m.safetensors", data), "shape is missing")
        assert line.isprintable()
        line.encode("utf-8")
    assert "汉字" in line


def test_a_path_with_a_newline_gives_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputRefused) as caught:
        sizes.breakdown(write(tmp_path, "a\nb.pt", b"junk"))
    assert str(caught.value).isprintable()


# ---- torch.save


def test_no_pickle_can_run_anything(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Attack:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {canary}",)

    for protocol in range(6):
        data = pickle.dumps({"model": Attack()}, protocol)
        archive = make.zipped([("archive/data.pkl", data), ("archive/version", b"3")])
        refused(write(tmp_path, "m.pt", archive))
        refused(write(tmp_path, "bare.pt", data))
    assert not canary.exists()


SYSTEM = make.p_global("os", "system")
CALL = make.p_tuple(make.p_text("touch canary"))
PICKLES: dict[str, tuple[bytes, str]] = {
    "os.system": (SYSTEM + CALL + b"R", "os.system"),
    "posix.system": (make.p_global("posix", "system") + CALL + b"R", "posix.system"),
    "builtins.eval": (make.p_global("builtins", "eval") + CALL + b"R", "builtins.eval"),
    "getattr chain": (make.p_global("builtins", "getattr") + CALL + b"R", "getattr"),
    "dotted name": (make.p_global("torch", "storage.os.system") + CALL + b"R", "not allowed"),
    "torch.load": (make.p_global("torch", "load") + CALL + b"R", "torch.load"),
    "stack global": (
        make.p_text("os") + make.p_text("system") + b"\x93" + CALL + b"R",
        "os.system",
    ),
    "stack global of numbers": (make.p_int(1) + make.p_int(2) + b"\x93", "not allowed"),
    "stack global of lists in lists": (
        b"]" * 5000 + b"a" * 4999 + make.p_text("x") + b"\x93",
        "not allowed",
    ),
    "INST": (b"(" + make.p_text("touch canary") + b"ios\nsystem\n", "INST"),
    "OBJ": (b"(" + SYSTEM + make.p_text("x") + b"o", "not allowed"),
    "engine's object of something": (
        make.p_global("torch", "ScriptObject") + make.p_tuple(make.p_int(1)) + b"\x81",
        "packed",
    ),
    "quantised, but no tensor": (
        make.p_global("torch._utils", "_rebuild_qtensor") + make.p_tuple(make.p_int(1)) + b"R",
        "quantised tensor's",
    ),
    "a scheme that is called": (
        make.p_global("torch", "per_tensor_affine") + make.p_tuple(make.p_int(1)) + b"R",
        "no function",
    ),
    "NEWOBJ": (make.p_global("collections", "OrderedDict") + b")\x81", "NEWOBJ"),
    "extension": (b"\x82\x01", "EXT1"),
    "text persistent id": (b"Pstorage\n", "PERSID"),
    "out-of-band buffer": (b"\x97", "NEXT_BUFFER"),
    "reduce of a number": (make.p_int(1) + b")R", "no known name"),
    "reduce of a dtype": (make.p_global("torch", "float32") + b")R", "no function"),
    "reduce of a storage class": (make.p_global("torch", "FloatStorage") + b")R", "no function"),
    "reduce without a tuple": (make.p_global("torch", "Size") + b"]R", "no known name"),
    "build on a list": (b"]}b", "state"),
    "whole module": (make.p_global("__main__", "Net") + b")R", "__main__.Net"),
    "stack underflow": (b"0", "not allowed"),
    "tuple of nothing": (b"\x87", "stack"),
    "no mark": (b"t", "mark"),
    "memo never stored": (b"h\x05", "never stored"),
    "list key": (b"}]Ns", "dict key"),
    "tuple key": (b"}))ss", "dict key"),
    "set items of a list": (b"](NNu", "no dict"),
    "append to a dict": (b"}(Ne", "no list"),
    "odd items": (b"}(Nu", "no dict"),
    "number of 65 bits": (make.p_int(1 << 64), "64 bits"),
    "number of 8000 bits": (b"\x8b" + struct.pack("<i", 1000) + b"\x7f" * 1000, "64 bits"),
    "bytes longer than the file": (b"\x8e" + struct.pack("<Q", 1 << 42), "broken pickle"),
    "text longer than the file": (b"X" + struct.pack("<I", 1 << 31), "broken pickle"),
    "bytearray of 4 TB": (b"\x96" + struct.pack("<Q", 1 << 42), "broken pickle"),
    "memo bomb": (META + b"r" + struct.pack("<I", 0xFFFFFFFF) + b"}" + SYSTEM, "os.system"),
    "two values": (b"}}", "one value"),
    "a mark left": (b"}(", "stack"),
    "unknown opcode": (b"\xff", "broken pickle"),
    "stride 0, 4 TB": (
        make.p_dict({"w": make.p_tensor("0", 1, [1 << 40], [0])}),
        "declares 1099511627776 elements",
    ),
    "past the storage": (make.p_dict({"w": make.p_tensor("0", 4, [2], [4])}), "past"),
    "offset past the storage": (make.p_dict({"w": make.p_tensor("0", 4, [4], [1], 1)}), "past"),
    "negative stride": (make.p_dict({"w": make.p_tensor("0", 4, [2], [-1], 3)}), "whole"),
    "shape against stride": (make.p_dict({"w": make.p_tensor("0", 4, [2, 2], [1])}), "match"),
    "65 dimensions": (make.p_dict({"w": make.p_tensor("0", 4, [1] * 65, [1] * 65)}), "match"),
    "storage of another size": (make.p_dict({"w": make.p_tensor("0", 5, [5], [1])}), "16 bytes"),
    "negative storage": (make.p_dict({"w": make.p_tensor("0", -4, [0], [1])}), "count"),
    "storage missing": (make.p_dict({"w": make.p_tensor("7", 4, [4], [1])}), "missing"),
    "storage outside": (
        make.p_dict({"w": make.p_tensor("../../../etc/passwd", 4, [4], [1])}),
        "missing",
    ),
    "persistent id of a number": (make.p_int(1) + b"Q", "no storage"),
    "deep nesting": (b"]" * 5000 + b"a" * 4999, "nested"),
    "deep nesting with a tensor": (b"]" * 50 + TENSOR + b"a" * 50, "nested"),
    "long name": (make.p_dict({"n" * 2000: TENSOR}), "name"),
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles(name: str, tmp_path: Path) -> None:
    body, match = PICKLES[name]
    refused(write(tmp_path, "m.pt", make.pt_bytes(body, {"0": bytes(16)})), match)


@pytest.mark.parametrize("behind", [b"x", b".", b"\0\0", make.pickled(META), bytes(5000)])
def test_nothing_follows_a_pickles_end(behind: bytes, tmp_path: Path) -> None:
    """Some other reader goes on, and finds another model there."""
    data = make.zipped([("archive/data.pkl", make.pickled(META) + behind)])
    refused(write(tmp_path, "m.pt", data), "bytes follow the end of the pickle")


def test_a_tensor_of_4_tb_fits_in_a_small_file(tmp_path: Path) -> None:
    body = make.p_dict({"w": make.p_tensor("0", 1, [1 << 20, 1 << 20], [0, 0])})
    path = write(tmp_path, "m.pt", make.pt_bytes(body, {"0": bytes(4)}))
    assert path.stat().st_size < 1536
    refused(path, "declares")


def test_a_structure_that_holds_itself(tmp_path: Path) -> None:
    body = b"}q\x00" + make.p_text("model") + b"h\x00s" + make.p_text("w") + TENSOR + b"s"
    path = write(tmp_path, "m.pt", make.pt_bytes(body, {"0": bytes(16)}))
    assert sizes.breakdown(path).bytes == path.stat().st_size
    assert [piece.name for piece in sizes.layout(path).pieces] == ["w"]


def test_a_structure_that_doubles(tmp_path: Path) -> None:
    # [] in memo 0, then 30 times: a list of the last one twice; 2^30 paths in 300 bytes.
    lists = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (index, index, index + 1) for index in range(30))
    body = make.p_text("extra") + b"(" + lists + b"ts" + make.p_text("w") + TENSOR + b"s"
    path = write(tmp_path, "m.pt", make.pt_bytes(b"}" + body, {"0": bytes(16)}))
    assert sizes.breakdown(path).bytes == path.stat().st_size


def test_a_flipped_byte_in_any_member_fails_its_crc(tmp_path: Path) -> None:
    good = make.good_pt()
    with zipfile.ZipFile(write(tmp_path, "good.pt", good)) as archive:
        members = archive.infolist()
    for member in members:
        start = member.header_offset + 30 + len(member.filename)
        damaged = bytearray(good)
        damaged[start + member.file_size // 2] ^= 0x10
        refused(write(tmp_path, "m.pt", bytes(damaged)), "CRC")


def zip_of(*members: tuple[str, bytes]) -> bytes:
    return make.zipped([("archive/data.pkl", make.pickled(META)), *members])


ZIPS: dict[str, tuple[bytes, str]] = {
    "truncated": (make.good_pt()[:-30], "truncated"),
    "only the start": (make.good_pt()[:40], "truncated"),
    "tiny": (b"PK\x03\x04", "truncated"),
    "empty archive": (make.zipped([]), "torch.save"),
    "bytes in front": (b"PK\x03\x04" + make.good_pt(), "zip"),
    "bytes behind": (make.good_pt() + b"x", "zip"),
    "no pickle": (make.zipped([("archive/data/0", b"x")]), "torch.save"),
    "two pickles": (zip_of(("other/data.pkl", make.pickled(META))), "torch.save"),
    "npz": (make.zipped([("array.npy", b"x")]), "torch.save"),
    "TorchScript": (zip_of(("archive/constants.pkl", b"")), "TorchScript"),
    "deflated": (
        make.zipped([("archive/data.pkl", make.pickled(META))], zipfile.ZIP_DEFLATED),
        "compressed",
    ),
    "zip bomb": (
        make.zipped([("archive/data.pkl", bytes(50 << 20))], zipfile.ZIP_DEFLATED),
        "compressed",
    ),
    "pickle of 9 MiB": (make.zipped([("archive/data.pkl", bytes(9 << 20))]), "pickle of"),
}


@pytest.mark.parametrize("name", ZIPS)
def test_zips(name: str, tmp_path: Path) -> None:
    data, match = ZIPS[name]
    refused(write(tmp_path, "m.pt", data), match)


def test_two_members_of_one_name(tmp_path: Path) -> None:
    # The names differ by a byte and are made equal afterwards: zipfile itself would warn.
    data = zip_of(("archive/data/0", b"a"), ("archive/data/1", b"b"))
    refused(write(tmp_path, "m.pt", data.replace(b"data/1", b"data/0")), "two members")


def patched(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    at = data.rindex(signature) + offset
    return data[:at] + value + data[at + len(value) :]


CENTRAL, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"
PATCHES: dict[str, tuple[bytes, int, bytes, str]] = {
    "encrypted": (CENTRAL, 8, b"\x01\x00", "encrypted"),
    "size of 4 GiB": (CENTRAL, 24, b"\xfe\xff\xff\xff", "disagree"),
    "both sizes of 4 GiB": (CENTRAL, 20, b"\xfe\xff\xff\xff" * 2, "past the end"),
    "zip64 without its field": (CENTRAL, 20, b"\xff\xff\xff\xff" * 2, "zip64"),
    "overlap": (CENTRAL, 42, b"\0\0\0\0", "its own header"),
    "header past the end": (CENTRAL, 42, b"\0\0\0\x7f", "past the end"),
    "extra past the end": (CENTRAL, 30, b"\xff\xff", "directory"),
    "other local name": (LOCAL, 31, b"X", "its own header"),
    "local signature": (LOCAL, 0, b"PKxx", "local header"),
    "local name past the end": (LOCAL, 26, b"\xff\xff", "early"),
    "local extra past the end": (LOCAL, 28, b"\xff\xff", "past the end"),
    "wrong count": (END, 8, b"\x09\x00\x09\x00", "members"),
    "directory elsewhere": (END, 16, b"\0\0\0\0", "zip"),
    "a comment that is not there": (END, 20, b"\x05\x00", "zip"),
    "another disk": (END, 4, b"\x01\x00", "zip"),
}


@pytest.mark.parametrize("name", PATCHES)
def test_patched_zip_records(name: str, tmp_path: Path) -> None:
    *patch, match = PATCHES[name]
    refused(write(tmp_path, "m.pt", patched(make.good_pt(), *patch)), match)


FULL = 0xFFFFFFFF


def zip64(data: bytes, before: bytes = b"", keep: bool = False) -> bytes:
    """The same archive with its sizes and places in 64 bits, as past 4 GiB.

    ``before``: another extra field in front of each; ``keep``: only places are, not sizes.
    """
    count, length, start = struct.unpack_from("<H2L", data, len(data) - 12)
    members, central, at = data[:start], b"", start
    while at < start + length:
        head = bytearray(data[at : at + 46])
        stored, plain, named = struct.unpack_from("<2LH", head, 20)
        (header,) = struct.unpack_from("<L", head, 42)
        wide = (header,) if keep else (plain, stored, header)
        extra = before + struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide)
        struct.pack_into("<H", head, 30, len(extra))
        struct.pack_into("<L", head, 42, FULL)
        if not keep:
            struct.pack_into("<2L", head, 20, FULL, FULL)
        central += head + data[at + 46 : at + 46 + named] + extra
        at += 46 + named
    end = start + len(central)
    record = (b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(central), start)
    return (
        members
        + central
        + struct.pack("<4sQ2H2L4Q", *record)
        + struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, FULL, FULL, 0)
    )


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize(
    "before",
    [b"", b"\x99\x99\x18\0" + b"\xee" * 24, b"\1\0\0\0"],
    ids=["alone", "behind another", "behind an empty one"],
)
def test_a_zip64_archive_reads_as_any_other(before: bytes, keep: bool, tmp_path: Path) -> None:
    path = write(tmp_path, "m.pt", make.good_pt())
    wanted = [(one.name, one.bytes, one.offset) for one in sizes.layout(path).pieces]
    path.write_bytes(zip64(make.good_pt(), before, keep))
    assert [(one.name, one.bytes, one.offset) for one in sizes.layout(path).pieces] == wanted


RECORD, LOCATOR, FIELD = b"PK\6\6", b"PK\6\7", b"\1\0\x18\0"
LAST = struct.pack("<Q", (1 << 64) - 1)
PATCHES64: dict[str, tuple[bytes, int, bytes, str]] = {
    "record signature": (RECORD, 0, b"PKxx", "zip64 end record is damaged"),
    "record's disk": (RECORD, 16, b"\1", "zip64 end record is damaged"),
    "directory's disk": (RECORD, 20, b"\1", "zip64 end record is damaged"),
    "members on this disk": (RECORD, 24, b"\1", "zip64 end record is damaged"),
    "members": (RECORD, 24, (b"\x09" + bytes(7)) * 2, "of 9 members"),
    "2^32 members more": (RECORD, 24, struct.pack("<QQ", *[(1 << 32) + 5] * 2), "5 of"),
    "directory of 2^32 bytes more": (RECORD, 44, b"\1", "zip end record"),
    "directory at 2^32 more": (RECORD, 52, b"\1", "zip end record"),
    "directory at the last byte": (RECORD, 48, LAST, "zip end record"),
    "record elsewhere": (LOCATOR, 8, bytes(8), "not where it must be"),
    "record at 2^32 more": (LOCATOR, 12, b"\1", "not where it must be"),
    "locator signature": (LOCATOR, 0, b"PKxx", "zip end record"),
    "plain size of 2^32 more": (FIELD, 8, b"\1", "disagree"),
    "stored size of 2^32 more": (FIELD, 16, b"\1", "disagree"),
    "both of 2^32 more": (FIELD, 4, struct.pack("<QQ", 1 << 32, 1 << 32), "past the end"),
    "both of 2^63": (FIELD, 4, struct.pack("<QQ", 1 << 63, 1 << 63), "past the end"),
    "both of the most": (FIELD, 4, LAST * 2, "past the end"),
    "header at 2^32 more": (FIELD, 24, b"\1", "header lies past the end"),
    "header at the last byte": (FIELD, 20, LAST, "header lies past the end"),
    "no field": (FIELD, 0, b"\2", "zip64 sizes are missing"),
    "field of two": (FIELD, 2, b"\x10", "zip64 sizes are missing"),
    "field past its end": (FIELD, 2, b"\x19", "zip64 sizes are missing"),
}


@pytest.mark.parametrize("name", PATCHES64)
def test_patched_zip64_records(name: str, tmp_path: Path) -> None:
    *patch, match = PATCHES64[name]
    refused(write(tmp_path, "m.pt", patched(zip64(make.good_pt()), *patch)), match)


def test_a_zip64_locator_without_its_record(tmp_path: Path) -> None:
    """As a file that is cut in front: nothing is read before its beginning."""
    data = zip64(make.good_pt())
    for length in (22, 42, 43, 97, 98):
        refused(write(tmp_path, "m.pt", b"PK\3\4" + data[-length:]))


def test_overlapping_members(tmp_path: Path) -> None:
    inner = make.zipped([("archive/data/0", b"x")])[: 30 + 14 + 1]
    data = zip_of(("archive/data/1", inner), ("archive/data/0", b"x"))
    hidden = data.index(inner)
    forged = patched(data, CENTRAL, 42, struct.pack("<I", hidden))
    refused(write(tmp_path, "m.pt", forged), "overlaps")


# ---- ONNX

W = make.o_tensor("w", [4], bytes(16))


def constant(*inside: bytes) -> bytes:
    """A model with one attribute."""
    return make.onnx_bytes(nodes=[make.message(5, *inside)])


def nested_graphs(depth: int) -> bytes:
    graph = make.message(5, W)
    for _ in range(depth):
        graph = make.message(1, make.message(5, make.message(6, graph)))
    return make.number(1, 10) + make.message(7, graph)


ONNX: dict[str, tuple[bytes, str]] = {
    "truncated": (make.good_onnx()[:-7], "protobuf"),
    "text": (b"hello, world, this is no model", "protobuf"),
    "zeros": (bytes(100), "protobuf"),
    "no graph": (make.number(1, 10) + make.number(5, 1), "one graph"),
    "two graphs": (make.onnx_bytes(W) + make.message(7, b""), "one graph"),
    "no version": (make.message(7, make.message(5, W)), "one graph"),
    "version 0": (make.number(1, 0) + make.message(7, b""), "IR version"),
    "graph a number": (make.number(1, 10) + make.number(7, 1), "no message"),
    "length past the end": (make.number(1, 10) + b"\x3a\xff\xff\xff\xff\x0f", "past"),
    "varint of 11 bytes": (make.number(1, 10) + b"\x3a" + b"\xff" * 11, "protobuf"),
    "group": (make.onnx_bytes(W) + b"\x0b\x0c", "protobuf"),
    "field 0": (make.onnx_bytes(W) + b"\x02\x00", "field number 0"),
    "fixed64 past the end": (make.onnx_bytes(W) + b"\x31\x00", "protobuf"),
    "field 2^29": (make.onnx_bytes(W) + make.varint(1 << 32) + b"\0", "field number 536870912"),
    "negative dimension": (make.onnx_bytes(make.o_tensor("w", [1 << 63], b"")), "negative"),
    "-1 and 0": (make.onnx_bytes(make.o_tensor("w", [(1 << 64) - 1, 0], b"")), "negative"),
    "packed -1 and 0": (
        make.onnx_bytes(make.o_tensor("w", [], b"") + make.message(1, make.varint(1 << 63), b"\0")),
        "negative",
    ),
    "dimension of 2^32 + 4": (
        make.onnx_bytes(make.o_tensor("w", [(1 << 32) + 4], bytes(16))),
        "ask for 17179869200",
    ),
    "dimension of 2^63 - 1": (
        make.onnx_bytes(make.o_tensor("w", [(1 << 63) - 1], bytes(16))),
        "ask for 36893488147419103228",
    ),
    "65 dimensions": (make.onnx_bytes(make.o_tensor("w", [1] * 65, b"1234")), "dimensions"),
    "too few bytes": (make.onnx_bytes(make.o_tensor("w", [5], bytes(16))), "ask for 20"),
    "4 TB and no data": (make.onnx_bytes(make.o_tensor("w", [1 << 40], None)), "holds 0"),
    "raw data twice": (make.onnx_bytes(W + make.message(9, bytes(16))), "pieces"),
    "unpacked floats": (make.onnx_bytes(make.o_tensor("w", [1], None) + b"\x25\0\0\0\0"), "pieces"),
    "short float_data": (
        make.onnx_bytes(make.o_tensor("w", [4], None) + make.message(4, bytes(12))),
        "ask for",
    ),
    "short int64_data": (
        make.onnx_bytes(make.o_tensor("w", [4], None, 7) + make.message(7, bytes(3))),
        "ask for",
    ),
    "unknown type": (make.onnx_bytes(make.o_tensor("w", [1], b"1", 99)), "data type 99"),
    "name not UTF-8": (make.onnx_bytes(make.message(8, b"\xff\xfe")), "UTF-8"),
    "name of 5000 bytes": (make.onnx_bytes(make.message(8, b"n" * 5000)), "too long"),
    "metadata twice": (
        make.onnx_bytes(W, extra=make.o_pair(14, "hcompress", "{}") * 2),
        "twice",
    ),
    "type twice": (make.onnx_bytes(W + make.number(2, 1)), "twice"),
    "name twice": (make.onnx_bytes(W + make.message(8, b"v")), "twice"),
    "location twice": (make.onnx_bytes(W + make.number(14, 0) * 2), "twice"),
    "a value twice": (constant(make.message(5, W) * 2), "twice"),
    "a body twice": (constant(make.message(6, make.message(5, W)) * 2), "twice"),
    "operator twice": (make.onnx_bytes(nodes=[make.message(4, b"Add") * 2]), "twice"),
    "key twice": (
        make.onnx_bytes(extra=make.message(14, make.message(1, b"a") * 2)),
        "twice",
    ),
    "texts outside": (
        make.onnx_bytes(make.o_external("w", [4], location="../x") + make.number(2, 8)),
        "twice",
    ),
    "texts outside, once": (
        make.onnx_bytes(make.o_tensor("w", [4], None, 8) + make.o_pair(13, "location", "../x")),
        "data type 8",
    ),
    "outside by a number of five bytes": (
        make.onnx_bytes(make.o_tensor("w", [0], None) + make.number(14, (1 << 32) + 1)),
        "external data",
    ),
    "40 graphs deep": (nested_graphs(40), "nested"),
    "20,000 graphs deep": (nested_graphs(20_000), "nested"),
}


@pytest.mark.parametrize("name", ONNX)
def test_onnx(name: str, tmp_path: Path) -> None:
    data, match = ONNX[name]
    refused(write(tmp_path, "m.onnx", data), match)


def test_a_number_has_64_bits(tmp_path: Path) -> None:
    """As protobuf reads it: what ten bytes have room for beyond them is cut off."""
    four = b"\x84" + b"\x80" * 8 + b"\x7e"
    float32 = (1 << 32) + 1  # one of a few, which has 32 bits
    tensor = make.o_tensor("w", [], bytes(16), float32) + make.message(1, four)
    path = write(tmp_path, "m.onnx", make.onnx_bytes(tensor))
    assert [(piece.params, piece.type) for piece in sizes.layout(path).pieces] == [(4, "F32")]


def test_reasonable_nesting_passes(tmp_path: Path) -> None:
    path = write(tmp_path, "m.onnx", nested_graphs(10))
    assert sizes.breakdown(path).bytes == path.stat().st_size


LOCATIONS = (
    "../secret.bin", "/etc/passwd", "sub/../../secret.bin", "..", ".", "", "sub//w.bin",
    "./", "./../secret.bin", "w.bin/", "./link.bin", ".//w.bin",
    "..\\secret.bin", "C:\\secret", "C:secret", "file:///etc/passwd",
    "~root/w\nbin", "w.bin\0", "missing.bin", "sub", "link.bin", "linked/w.bin", "pipe",
    "m.onnx", "n" * 300,
)  # fmt: skip


@pytest.mark.parametrize("location", LOCATIONS)
def test_onnx_external_data_stays_inside(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    for name in ("secret.bin", "outside/w.bin", "model/w.bin", "model/sub/w.bin"):
        write(tmp_path, name, bytes(16))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "linked").symlink_to(tmp_path / "outside")
    os.mkfifo(folder / "pipe")
    data = make.onnx_bytes(make.o_external("w", [4], location=location))
    refused(write(folder, "m.onnx", data), "external data")


EXTERNAL: dict[str, tuple[bytes, str]] = {
    "offset past the end": (make.o_external("w", [4], location="w.bin", offset="1"), "ends at"),
    "length against shape": (make.o_external("w", [4], location="w.bin", length="8"), "needs 16"),
    "negative offset": (make.o_external("w", [4], location="w.bin", offset="-4"), "whole"),
    "hexadecimal": (make.o_external("w", [4], location="w.bin", offset="0x1"), "whole"),
    "digits of another script": (make.o_external("w", [4], location="w.bin", offset="٤"), "whole"),
    "huge": (make.o_external("w", [4], location="w.bin", offset="9" * 400), "whole"),
    "2^32": (make.o_external("w", [4], location="w.bin", offset=str(1 << 32)), "ends at"),
    "2^63": (make.o_external("w", [4], location="w.bin", offset=str(1 << 63)), "whole"),
    "2^64": (make.o_external("w", [4], location="w.bin", offset=str(1 << 64)), "whole"),
    "4 TB": (make.o_external("w", [1 << 40], location="w.bin"), "ends at"),
    "location twice": (
        make.o_external("w", [4], location="w.bin") + make.o_pair(13, "location", "../x"),
        "twice",
    ),
    "inside and outside": (
        make.o_external("w", [4], location="w.bin") + make.message(9, bytes(16)),
        "both",
    ),
    "no location": (make.o_tensor("w", [4], None) + make.number(14, 1), "external data"),
}


@pytest.mark.parametrize("name", EXTERNAL)
def test_onnx_external_entries(name: str, tmp_path: Path) -> None:
    write(tmp_path, "w.bin", bytes(16))
    tensor, match = EXTERNAL[name]
    refused(write(tmp_path, "m.onnx", make.onnx_bytes(tensor)), match)


@pytest.mark.parametrize("location", ["w.bin", "./w.bin", "././w.bin", "sub/w.bin", "sub/./w.bin"])
def test_onnx_external_data_in_the_models_own_folder(location: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("w.bin", "sub/w.bin"):
        write(tmp_path, name, bytes(16))
    same = location.replace("./", "")
    tensors = [
        make.o_external(name, [4], location=at) for name, at in (("a", location), ("b", same))
    ]
    path = write(tmp_path, "m.onnx", make.onnx_bytes(*tensors))
    assert sizes.breakdown(path).bytes == path.stat().st_size + 16
    assert [piece.file for piece in sizes.layout(path).pieces] == [tmp_path / same]


@pytest.mark.parametrize("name", ["w.bin", "sub/w.bin"])
def test_onnx_external_data_behind_a_link_say_how_to_copy_them(name: str, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    write(tmp_path, "blobs/w.bin", bytes(16))
    link = tmp_path / name.partition("/")[0]
    link.symlink_to(tmp_path / "blobs" / ("." if "/" in name else "w.bin"))
    data = make.onnx_bytes(make.o_external("w", [4], location=name))
    refused(write(tmp_path, "m.onnx", data), "cp -L")


def test_onnx_external_overlap(tmp_path: Path) -> None:
    write(tmp_path, "w.bin", bytes(16))
    one = make.o_external("a", [3], location="w.bin")
    two = make.o_external("b", [3], location="w.bin", offset="4")
    refused(write(tmp_path, "m.onnx", make.onnx_bytes(one, two)), "overlaps")


# ---- what is no file at all


def test_things_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "s.pt"))
    (tmp_path / "folder.onnx").mkdir()
    write(tmp_path, "empty.safetensors", b"")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    refused(tmp_path / "pipe.onnx", "named pipe")
    refused(tmp_path / "s.pt", "socket")
    refused(tmp_path / "folder.onnx", "is a folder")
    refused(tmp_path / "empty.safetensors", "empty")
    refused(Path("/dev/zero"), "device")
    for name in ("loop", "dangling"):
        with pytest.raises(UsageError):
            sizes.breakdown(tmp_path / name)
    server.close()


def test_junk_is_named_as_such(tmp_path: Path) -> None:
    for name, data in (
        ("readme.md", b"# hello"),
        ("image.png", b"\x89PNG\r\n\x1a\n" + bytes(100)),
        ("model.pt", b"junk"),
        ("old.tar", b"x" * 600),
    ):
        refused(write(tmp_path, name, data))


# ---- mutations

GOOD = {
    "m.safetensors": make.good_safetensors(),
    "m.pt": make.good_pt(),
    "m.onnx": make.good_onnx(),
}


def mutate(data: bytes, edits: list[tuple[int, int]], cut: int) -> bytes:
    mutated = bytearray(data)
    for position, value in edits:
        mutated[position % len(mutated)] ^= value
    return bytes(mutated[: len(mutated) - cut % len(mutated)] if cut else mutated)


@pytest.mark.parametrize("name", GOOD)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), max_size=4),
    cut=st.one_of(st.just(0), st.integers(0, 1 << 20)),
)
def test_mutants(name: str, edits: list[tuple[int, int]], cut: int, tmp_path: Path) -> None:
    """A mutant is refused, or its rows still add up: nothing else ever happens."""
    path = write(tmp_path, name, mutate(GOOD[name], edits, cut))
    found = one_line_or(sizes.breakdown, path)
    if found is not None:
        assert sum(row.bytes for row in found.components) == found.bytes == path.stat().st_size
    one_line_or(sizes.read_metadata, path)


@pytest.mark.parametrize("name", GOOD)
def test_every_truncation(name: str, tmp_path: Path) -> None:
    for length in range(1, len(GOOD[name]), 3):
        refused(write(tmp_path, name, GOOD[name][:length]))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60))
def test_arbitrary_pickles(body: bytes, tmp_path: Path) -> None:
    path = write(tmp_path, "m.pt", make.pt_bytes(body, {"0": bytes(16)}))
    one_line_or(sizes.breakdown, path)
