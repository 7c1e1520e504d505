"""Which kind of model file a file is: its content decides, not its name."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from hcompress.artifacts.source import model_file
from hcompress.errors import InputRefused
from hcompress.formats import engine, safetensors
from hcompress.formats import onnx as onnxfile
from hcompress.formats import torchsave as torchfile
from hcompress.formats.layout import Layout
from hcompress.strict.files import open_regular, shown

_TORCH_SUFFIXES = frozenset((".pt", ".pth", ".ckpt", ".bin"))


class Format(StrEnum):
    """What a model file is."""

    SAFETENSORS = "safetensors"
    TORCH = "torch"
    ONNX = "onnx"
    ENGINE = "engine"


_LAYOUTS = {
    Format.SAFETENSORS: safetensors.layout,
    Format.TORCH: torchfile.layout,
    Format.ONNX: onnxfile.layout,
}


def layout(path: Path) -> Layout:
    """Where each weight of a model file lies. Raises as `breakdown`, and on engines."""
    file = model_file(path)
    kind = format_of(file)
    if kind is Format.ENGINE:
        raise InputRefused(f"{shown(file)}: an engine's weights cannot be told apart")
    return _LAYOUTS[kind](file)


def format_of(file: Path) -> Format:
    """What the file holds. Raises InputRefused where it is nothing we read."""
    with open_regular(file) as (stream, size):
        head = stream.read(16)
    suffix = file.suffix.lower()
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Format.TORCH
    if safetensors.looks_like(head, size) or suffix == ".safetensors":
        return Format.SAFETENSORS
    if suffix in engine.SUFFIXES:
        return Format.ENGINE
    # Nothing marks an ONNX file; every exporter writes the IR version, field 1, first. Asked
    # before a sidecar is looked for: a JSON laid beside an ONNX file must not speak for it.
    if suffix == ".onnx" or (head.startswith(b"\x08") and suffix not in _TORCH_SUFFIXES):
        return Format.ONNX
    if engine.names_a_plan(file):
        return Format.ENGINE
    if head.startswith(b"\x80") or suffix in _TORCH_SUFFIXES:
        raise InputRefused(_not_a_zip(file, head))
    raise InputRefused(
        f"{shown(file)}: is no safetensors, torch.save, ONNX or engine file: name a model file"
    )


def _not_a_zip(file: Path, head: bytes) -> str:
    if head.startswith(b"\x80"):
        return (
            f"{shown(file)}: is a bare pickle (torch.save before 1.6), which can run code and was "
            "not read: save it again with torch.save where you trust it"
        )
    return f"{shown(file)}: is not a zip file written by torch.save: truncated or damaged"
