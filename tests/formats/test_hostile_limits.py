"""The worst files of their size: refused (or read) within 5 seconds and 1 GiB of memory.

The seconds are the processor's, so that a busy machine fails no test.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import model_files as make

SECONDS = 5
MEMORY = 1 << 30

# Exit 0: a breakdown; 3: refused, one line on stderr; anything else is a fault.
READER = """
import sys
from pathlib import Path
from hcompress import sizes
from hcompress.errors import HcompressError
try:
    found = sizes.breakdown(Path(sys.argv[1]))
    assert sum(row.bytes for row in found.components) == found.bytes
except HcompressError as error:
    print(error, file=sys.stderr)
    raise SystemExit(error.exit_code)
"""


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def many_entries(limit: int) -> Iterator[bytes]:
    size = 1
    for index in range(1 << 30):
        entry = b'"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},' % index
        size += len(entry)
        if size > limit:
            return
        yield entry


MIB = 1 << 20


def header_of_lists() -> bytes:
    return make.safetensors_bytes(b'{"a":[' + b"[]," * (8 * MIB // 3 - 10) + b"[]]}")


def header_of_objects() -> bytes:
    return make.safetensors_bytes(b'{"a":[' + b"{}," * (8 * MIB // 3 - 10) + b"{}]}")


def header_of_keys() -> bytes:
    keys = b",".join(b'"%x":0' % index for index in range(750_000))
    return make.safetensors_bytes(b'{"a":{' + keys + b"}}")


def header_of_tensors() -> bytes:
    return make.safetensors_bytes(b"{" + b"".join(many_entries(8 * MIB))[:-1] + b"}")


def header_of_one_text() -> bytes:
    return make.safetensors_bytes(b'{"__metadata__":{"a":"' + b"\\u6c49" * MIB + b'"}}')


def header_sparse() -> bytes:
    return b"\xff\xff\xff\x05" + bytes(4) + b"{" + bytes(96 * MIB)


def pickle_of(unit: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    count = (4 * MIB - 100 - len(before)) // len(unit)
    return make.pt_bytes(before + unit * count + after)


def pickle_of_tensors() -> bytes:
    one = make.p_tensor("0", 1, [1], [1])
    entries = b"".join(make.p_text(f"layer{i}.weight") + one for i in range(15_000))
    return make.pt_bytes(b"}(" + entries + b"u", {"0": bytes(4)})


def pickle_of_long_names() -> bytes:
    one = make.p_tensor("0", 1, [1], [1])
    inner = b"}(" + b"".join(make.p_text(f"{i}") + one for i in range(20_000)) + b"u"
    return make.pt_bytes(b"}" + make.p_text("n" * 1000) + inner + b"s", {"0": bytes(4)})


def pickle_of_doubled_tuples() -> bytes:
    """A global's name is a tuple of 2^40 empty ones, were it written out."""
    doubled = b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(40))
    return make.pt_bytes(b")q\x00" + doubled + make.p_text("x") + b"\x93")


def pickle_of_calls(module: str, name: str, argument: bytes) -> bytes:
    """The same call on the same 2 MiB of text, 166,000 times."""
    arguments = make.p_tuple(make.p_text("a" * 2 * MIB), argument)
    called = make.p_global(module, name) + b"q\x00" + arguments + b"q\x01"
    return make.pt_bytes(b"](" + called + b"h\x00h\x01R" * 166_000 + b"e")


def zip_of_members() -> bytes:
    return make.zipped(
        [("archive/data.pkl", make.pickled(b"}"))]
        + [(f"archive/data/{i}", b"") for i in range(100_000)]
    )


def zip_of_tensors() -> bytes:
    entries = b"".join(
        make.p_text(f"w{i}") + make.p_tensor(f"{i}", 1, [1], [1]) for i in range(15_000)
    )
    return make.pt_bytes(b"}(" + entries + b"u", {f"{i}": bytes(4) for i in range(15_000)})


def onnx_of_tensors() -> bytes:
    graph = b"\x2a\x00" * (32 * MIB)
    return make.number(1, 10) + b"\x3a" + make.varint(len(graph)) + graph


def onnx_of_valid_tensors() -> bytes:
    return make.onnx_bytes(*[make.o_tensor("w", [0], b"")] * 50_000)


def onnx_of_unknown_fields() -> bytes:
    return make.number(1, 10) + b"\xf8\x07\x00" * (8 * MIB)


def onnx_of_externals() -> bytes:
    tensors = [make.o_external("w", [0], location=f"{i}.bin") for i in range(20_000)]
    return make.onnx_bytes(*tensors)


def onnx_big_metadata() -> bytes:
    return make.onnx_bytes(extra=make.o_pair(14, "hcompress", "x" * (64 * MIB)))


def big_torch_file() -> bytes:
    body = make.p_dict({"backbone.w": make.p_tensor("0", 16 * MIB, [16 * MIB], [1])})
    return make.pt_bytes(body, {"0": bytes(64 * MIB)})


def big_onnx() -> bytes:
    return make.onnx_bytes(make.o_tensor("backbone.w", [16 * MIB], bytes(64 * MIB)))


REFUSED: dict[str, Callable[[], bytes]] = {
    "lists.safetensors": header_of_lists,
    "objects.safetensors": header_of_objects,
    "keys.safetensors": header_of_keys,
    "sparse.safetensors": header_sparse,
    "marks.pt": lambda: pickle_of(b"("),
    "tuples.pt": lambda: pickle_of(b"\x85", b")"),
    "memo.pt": lambda: pickle_of(b"r\xff\xff\xff\x7f", b"}"),
    "texts.pt": lambda: pickle_of(b"X\x01\0\0\0a"),
    "newlines.pt": lambda: pickle_of(b"cx\n\n"),
    "doubled.pt": pickle_of_doubled_tuples,
    "decimal.pt": lambda: pickle_of(b"9", b"L", b"L\n"),
    "tensors.onnx": onnx_of_tensors,
    "tensors.safetensors": header_of_tensors,
    "members.pt": zip_of_members,
    "fields.onnx": onnx_of_unknown_fields,
    "externals.onnx": onnx_of_externals,
    "metadata.onnx": onnx_big_metadata,
}
READ: dict[str, Callable[[], bytes]] = {
    "text.safetensors": header_of_one_text,
    "tensors.pt": pickle_of_tensors,
    "names.pt": pickle_of_long_names,
    "storages.pt": zip_of_tensors,
    "bytes.pt": lambda: pickle_of_calls("_codecs", "encode", make.p_text("latin1")),
    "devices.pt": lambda: pickle_of_calls("torch", "device", make.p_int(0)),
    "valid.onnx": onnx_of_valid_tensors,
    "big.pt": big_torch_file,
    "big.onnx": big_onnx,
}


def read(path: Path) -> subprocess.CompletedProcess[str]:
    """Measure a file in a process of its own, under the limits."""
    return subprocess.run(
        [sys.executable, "-c", READER, str(path)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("name", [*REFUSED, *READ])
def test_within_limits(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes({**REFUSED, **READ}[name]())
    done = read(path)
    path.unlink()
    assert done.returncode == (3 if name in REFUSED else 0), done.stderr[-2000:]
    assert len(done.stderr.splitlines()) == (name in REFUSED)


def test_a_safetensors_file_larger_than_the_memory(tmp_path: Path) -> None:
    """Only the header is read; the rest is a hole on disk."""
    size = 3 << 30
    path = tmp_path / "big.safetensors"
    path.write_bytes(make.safetensors_bytes({"w": make.tensor_entry(0, size, [size], "U8")}))
    os.truncate(path, path.stat().st_size + size)
    done = read(path)
    assert (done.returncode, done.stderr) == (0, "")
