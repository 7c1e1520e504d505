"""A file's breakdown, whatever kind of model file it is. Content decides, not the name."""

from __future__ import annotations

import stat
from enum import StrEnum
from pathlib import Path

from hcompress.errors import InputRefused
from hcompress.sizes import engine, onnxfile, safetensors, torchfile
from hcompress.sizes.files import open_regular, shown, stat_of
from hcompress.sizes.model import Breakdown, Layout, tally

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


def breakdown(path: Path) -> Breakdown:
    """What a model file (or an artifact folder's model) is made of; rows add up exactly.

    Reads .safetensors, .pt/.pth, .onnx and engine plans without torch, onnx or running a
    thing. Raises UsageError (no such path) and InputRefused (damaged, hostile, not a model).
    """
    file = model_file(path)
    kind = format_of(file)
    if kind is Format.ENGINE:
        return engine.breakdown(file)
    return tally(_LAYOUTS[kind](file))


def layout(path: Path) -> Layout:
    """Where each weight of a model file lies. Raises as `breakdown`, and on engines."""
    file = model_file(path)
    kind = format_of(file)
    if kind is Format.ENGINE:
        raise InputRefused(f"{shown(file)}: an engine's weights cannot be told apart")
    return _LAYOUTS[kind](file)


def model_file(path: Path) -> Path:
    """The file itself, or the model of the artifact folder, all its digests checked."""
    if not stat.S_ISDIR(stat_of(path).st_mode):
        return path
    from hcompress.artifact import open_artifact

    return open_artifact(path).file


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
