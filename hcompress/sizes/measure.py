"""A file's breakdown, whatever kind of model file it is. Content decides, not the name."""

from __future__ import annotations

import hashlib
import stat
from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hcompress.errors import InputRefused
from hcompress.sizes import engine, onnxfile, safetensors, torchfile
from hcompress.sizes.files import chunks, open_regular, require_regular, shown, stat_of
from hcompress.sizes.model import Breakdown, Layout, Piece, tally

# Small tensors are equal by chance: biases of zeros, scales of ones.
MIN_DUPLICATE = 4096

_TORCH_SUFFIXES = frozenset((".pt", ".pth", ".ckpt", ".bin"))
_ONNX_SUFFIXES = frozenset((".onnx",))


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


@dataclass(frozen=True, slots=True)
class WeightBytes:
    """Weight bytes as stored and by content. ``duplicates``: names of equal tensors, grouped."""

    stored: int
    unique: int
    duplicates: tuple[tuple[str, ...], ...]


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
    from hcompress.artifact import MANIFEST, open_artifact

    manifest = path / MANIFEST
    if manifest.exists():
        require_regular(manifest, manifest.stat().st_mode)
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
    if suffix in engine.SUFFIXES or engine.sidecar_of(file).exists():
        return Format.ENGINE
    if head.startswith(b"\x80") or suffix in _TORCH_SUFFIXES:
        raise InputRefused(_not_a_zip(file, head))
    # Nothing marks an ONNX file; every exporter writes the IR version, field 1, first.
    if suffix in _ONNX_SUFFIXES or head.startswith(b"\x08"):
        return Format.ONNX
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


def weight_bytes(path: Path, smallest: int = MIN_DUPLICATE) -> WeightBytes:
    """Compare weights by content (SHA-256): what is stored twice shows up in ``duplicates``.

    Only pieces of at least ``smallest`` bytes can be duplicates of each other.
    """
    found = layout(path)
    groups: dict[tuple[int, str], list[Piece]] = defaultdict(list)
    by_file: dict[Path, list[Piece]] = defaultdict(list)
    for piece in found.pieces:
        if piece.bytes >= smallest:
            by_file[piece.file].append(piece)
    for file, pieces in by_file.items():
        with open_regular(file) as (stream, _):
            for piece in pieces:
                digest = hashlib.sha256()
                for chunk in chunks(stream, piece.offset, piece.bytes, file):
                    digest.update(chunk)
                groups[piece.bytes, digest.hexdigest()].append(piece)
    repeated = [pieces for pieces in groups.values() if len(pieces) > 1]
    stored = sum(piece.bytes for piece in found.pieces)
    extra = sum(sum(piece.bytes for piece in pieces[1:]) for pieces in repeated)
    names = tuple(tuple(piece.name for piece in pieces) for pieces in repeated)
    return WeightBytes(stored, stored - extra, names)


def unique_bytes(path: Path) -> int:
    """Weight bytes of a file, equal tensors once."""
    return weight_bytes(path).unique
