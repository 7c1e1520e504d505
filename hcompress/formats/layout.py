"""Where a model file's weights lie: the answer of every format's reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Piece:
    """One run of weight bytes in a file, counted once however many tensors use it."""

    name: str
    params: int
    bytes: int
    file: Path
    offset: int
    type: str | None = None
    """safetensors' name for the elements' type, if they lie there one after the other as they are
    in memory, in the order of ``shape``; None if they do not, or nobody asks."""
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Control:
    """A node that runs a graph inside of it, as often as it likes."""

    operator: str
    turns: int | None
    """How often at most, if the file says so; None if that is worked out, or it is inside
    another."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a model's weights lie. ``bytes`` counts every file that belongs to it."""

    path: Path
    bytes: int
    pieces: tuple[Piece, ...]
    metadata: str | None = None
    """The raw text under "hcompress", where the format has a place for it."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """What else an ONNX file says of itself, by key; of two texts under one key, the last."""
    control: tuple[Control, ...] = ()
    """An ONNX graph's loops and branches."""
    optimised: bool = False
    """It is what onnxruntime has made of an ONNX file for itself, and saved."""
