"""Whether the weights in an ONNX file are those its metadata speaks of, before it is loaded."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

from hcompress.errors import InputRefused, NumericalError
from hcompress.formats.layout import Layout, Piece
from hcompress.spec.config import SCALE, RecogniserConfig, Weights
from hcompress.strict.files import open_regular, shown

CHUNK = 1 << 22
_WEIGHTS = ("backbone.", "decoder.", "neck.", "embedding.", "classifier.")
"""What weights are called; the graph's own constants are not."""


def check_turns(layout: Layout, most: int) -> None:
    """Raises InputRefused if a graph runs part of itself, but for one loop of ``most`` turns."""
    if not layout.control:
        return
    loop, *others = layout.control
    if others or loop.operator != "Loop" or loop.turns is None or loop.turns > most:
        named = ", ".join(
            f"{one.operator} of {'any' if one.turns is None else f'{one.turns:,}'} turns"
            for one in layout.control[:3]
        )
        raise InputRefused(
            f"{shown(layout.path)}: has {named}, where one Loop of {most} at most is ours: not run:"
            " export it again"
        )


def check_tensors(layout: Layout, config: RecogniserConfig, vocabulary: int) -> None:
    """Raises InputRefused where a tensor that grows with the vocabulary or the code length has
    another size than metadata asks for, is stored in another way than ours or a scale is not
    above zero, NumericalError where a weight is not finite."""
    pieces: dict[str, Piece] = {piece.name: piece for piece in layout.pieces}
    names = [piece.name for piece in layout.pieces]
    tables = config.head_tensors(vocabulary)
    for name, stored in tables.items():
        elements = stored.elements
        piece = pieces.get(name)
        if piece is None:
            raise InputRefused(f"{layout.path}: tensor {name} is missing: export it again")
        if piece.params != elements:
            raise InputRefused(
                f"{layout.path}: tensor {name} has {piece.params} elements, configuration and"
                f" charset ask for {elements}: export it again"
            )
        if names.count(name) > 1:
            raise InputRefused(f"{layout.path}: tensor {name} is there twice: export it again")
        if stored.packed and piece.bytes != elements:
            raise InputRefused(f"{layout.path}: tensor {name} is not one of bytes: export it again")
    packed = {name for name, stored in tables.items() if stored.packed}
    rest = [piece for piece in layout.pieces if piece.name not in packed]
    floats = [piece for piece in rest if _is_float(piece, config, pieces.keys())]
    for file, held in groupby(sorted(floats, key=_file), _file):
        with open_regular(file) as (stream, _):
            for piece in held:
                _check_floats(piece, stream, layout.path)


def _file(piece: Piece) -> Path:
    return piece.file


def _is_float(piece: Piece, config: RecogniserConfig, names: Collection[str]) -> bool:
    """Whether it is a weight in which not every byte is a number, as it is in int8."""
    if not piece.name.startswith(_WEIGHTS):
        return False
    scaled = config.weights is Weights.INT8 and piece.name + SCALE in names
    return not (scaled and piece.bytes == piece.params)


def _check_floats(piece: Piece, stream: BinaryIO, path: Path) -> None:
    """Read through a float tensor, a few MiB at a time."""
    import numpy as np

    width = piece.bytes / max(piece.params, 1)  # no whole number where elements are varints
    kind = {2.0: np.float16, 4.0: np.float32}.get(width)
    if kind is None:
        raise InputRefused(f"{path}: tensor {piece.name} has {width:g} bytes an element")
    stream.seek(piece.offset)
    left = piece.bytes
    while left:
        block = stream.read(min(left, CHUNK))
        if not block:
            raise InputRefused(f"{path}: ends inside of tensor {piece.name}")
        left -= len(block)
        values = np.frombuffer(block, kind)
        if not bool(np.isfinite(values).all()):
            raise NumericalError(f"{path}: tensor {piece.name} holds NaN or infinity")
        if piece.name.endswith(SCALE) and not bool((values > 0).all()):
            raise InputRefused(f"{path}: tensor {piece.name}: a scale is not above zero")
