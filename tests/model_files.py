"""Model files of every kind, good and hostile, made byte by byte: no torch, no onnx."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

# ---- safetensors


def safetensors_bytes(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor_entry(begin: int, end: int, shape: Sequence[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def good_safetensors() -> bytes:
    header = {
        "__metadata__": {"hcompress": '{"format":1,"config":{"backbone":"mobilenet_v2"}}'},
        "backbone.stem.weight": tensor_entry(0, 64, [4, 4]),
        "decoder.layers.0.feed_forward.0.weight": tensor_entry(64, 96, [4, 2]),
        "decoder.layers.0.self_attention.query.weight": tensor_entry(96, 104, [2, 2], "F16"),
        "codebook": tensor_entry(104, 110, [3, 2], "U8"),
        "classifier.empty": tensor_entry(110, 110, [0, 5]),
    }
    return safetensors_bytes(header, bytes(range(110)))


# ---- torch.save


def p_text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def p_int(value: int) -> bytes:
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def p_tuple(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def p_global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def p_dict(entries: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(p_text(key) + value for key, value in entries.items()) + b"u"


def p_tensor(
    key: str,
    count: int,
    shape: Sequence[int],
    stride: Sequence[int],
    offset: int = 0,
    storage: str = "FloatStorage",
) -> bytes:
    where = p_tuple(
        p_text("storage"), p_global("torch", storage), p_text(key), p_text("cpu"), p_int(count)
    )
    hooks = p_global("collections", "OrderedDict") + b")R"
    return (
        p_global("torch._utils", "_rebuild_tensor_v2")
        + p_tuple(
            where + b"Q",
            p_int(offset),
            p_tuple(*map(p_int, shape)),
            p_tuple(*map(p_int, stride)),
            b"\x89",
            hooks,
        )
        + b"R"
    )


def pickled(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def zipped(members: Sequence[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()


def pt_bytes(body: bytes, storages: Mapping[str, bytes] | None = None) -> bytes:
    members = [("archive/data.pkl", pickled(body)), ("archive/byteorder", b"little")]
    members += [(f"archive/data/{key}", data) for key, data in (storages or {}).items()]
    return zipped([*members, ("archive/version", b"3\n")])


def good_pt() -> bytes:
    body = p_dict(
        {
            "epoch": p_int(3),
            "model": p_dict(
                {
                    "backbone.stem.weight": p_tensor("0", 16, [4, 4], [4, 1]),
                    "classifier.weight": p_tensor("1", 6, [2, 3], [3, 1]),
                    "embedding.weight": p_tensor("1", 6, [3, 2], [1, 3]),
                }
            ),
        }
    )
    return pt_bytes(body, {"0": bytes(64), "1": struct.pack("<6f", *range(6))})


# ---- ONNX

HAMMING_RESNET31 = {"backbone": "resnet31", "classifier": "hamming", "code_length": 64}


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def o_pair(field: int, key: str, value: str) -> bytes:
    return message(field, message(1, key.encode()), message(2, value.encode()))


def o_tensor(name: str, dims: Sequence[int], raw: bytes | None, data_type: int = 1) -> bytes:
    """The inside of a TensorProto."""
    parts = [*(number(1, size) for size in dims), number(2, data_type), message(8, name.encode())]
    return b"".join(parts) + (message(9, raw) if raw is not None else b"")


def o_external(name: str, dims: Sequence[int], **entry: str) -> bytes:
    pairs = (o_pair(13, key, value) for key, value in entry.items())
    return o_tensor(name, dims, None) + b"".join(pairs) + number(14, 1)


def onnx_bytes(*tensors: bytes, extra: bytes = b"", nodes: Sequence[bytes] = ()) -> bytes:
    graph = [message(1, node) for node in nodes]
    graph += [message(2, b"graph"), *(message(5, tensor) for tensor in tensors)]
    return number(1, 10) + message(8, number(2, 20)) + message(7, *graph) + extra


def good_onnx() -> bytes:
    return onnx_bytes(
        o_tensor("backbone.stem.weight", [4, 4], bytes(64)),
        o_tensor("codebook", [3, 2], bytes(6), data_type=2),
        extra=o_pair(14, "hcompress", json.dumps({"format": 1, "config": HAMMING_RESNET31})),
    )
