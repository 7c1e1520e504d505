"""Triton's `config.pbtxt` of one ONNX file: protobuf's text format, of its message ModelConfig."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hcompress.errors import InputRefused

Ends = Mapping[str, tuple[str, Sequence[int | str | None]]]
"""Type and shape by name, as onnxruntime says them: texts and None are known at run time."""
TYPES: Final = {
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
}


@dataclass(frozen=True)
class Batching:
    """How requests are put together."""

    most: int
    """Images in a batch; 0 if the file takes no batches as Triton makes them."""
    preferred: int
    """The batch that is worth waiting for."""
    wait: int
    """Microseconds that a request waits for others."""
    instances: int
    """Sessions side by side, a thread each."""


def config(name: str, inputs: Ends, outputs: Ends, batching: Batching) -> str:
    """The whole file. Raises InputRefused for an end of a type that Triton has no name for here."""
    lines = [
        f"name: {_text(name)}",
        'backend: "onnxruntime"',
        f"max_batch_size: {batching.most}",
        *_ends("input", inputs, batching.most > 0),
        *_ends("output", outputs, batching.most > 0),
        f"instance_group [ {{ count: {batching.instances} kind: KIND_CPU }} ]",
        *(_parameter(key, "1") for key in ("intra_op_thread_count", "inter_op_thread_count")),
    ]
    if batching.most:
        lines += [
            "dynamic_batching {",
            f"  preferred_batch_size: [ {batching.preferred} ]",
            f"  max_queue_delay_microseconds: {batching.wait}",
            "}",
        ]
    return "\n".join(lines) + "\n"


def batches(inputs: Ends, outputs: Ends) -> bool:
    """Whether every end's first side is the batch, of any size."""
    sides = [shape[0] if shape else 1 for _, shape in (*inputs.values(), *outputs.values())]
    return all(not isinstance(side, int) for side in sides) and len({*sides}) == 1


def _ends(kind: str, ends: Ends, batched: bool) -> list[str]:
    lines = []
    for name, (type_, shape) in ends.items():
        if type_ not in TYPES:
            raise InputRefused(f"{name}: {type_}: no Triton type is known for it")
        sides = shape[1:] if batched else shape
        dims = ", ".join(str(side) if isinstance(side, int) else "-1" for side in sides)
        lines.append(
            f"{kind} [ {{ name: {_text(name)} data_type: {TYPES[type_]} dims: [ {dims} ] }} ]"
        )
    return lines


def _parameter(key: str, value: str) -> str:
    return f"parameters {{ key: {_text(key)} value {{ string_value: {_text(value)} }} }}"


def _text(value: str) -> str:
    """A string with what is not ASCII as bytes, as protobuf's text format takes them."""
    quoted = json.dumps(value.encode("utf-8").decode("latin-1"), ensure_ascii=False)[1:-1]
    return '"' + "".join(c if " " <= c <= "~" else f"\\{ord(c):03o}" for c in quoted) + '"'
