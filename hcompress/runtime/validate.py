"""Whether the weights in an ONNX file are those its metadata speaks of, before it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hcompress.errors import InputRefused, NumericalError
from hcompress.spec.config import SCALE, Classifier, Embedding, RecogniserConfig, Weights

if TYPE_CHECKING:
    from hcompress.sizes import Layout, Piece


CHUNK = 1 << 22


def check_tensors(layout: Layout, config: RecogniserConfig, vocabulary: int) -> None:
    """Raises InputRefused where a tensor that grows with the vocabulary or the code length has
    another size than metadata asks for, is stored in another way than ours or a scale is not
    above zero, NumericalError where a weight is not finite."""
    pieces: dict[str, Piece] = {piece.name: piece for piece in layout.pieces}
    names = [piece.name for piece in layout.pieces]
    for name, elements in _expected(config, vocabulary).items():
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
        if name == "codebook" and piece.bytes != elements:
            raise InputRefused(f"{layout.path}: the codebook is not one of bytes: export it again")
    for piece in layout.pieces:
        if not piece.name.startswith(("backbone.", "decoder.", "embedding.", "classifier.")):
            continue
        scaled = config.weights is Weights.INT8 and piece.name + SCALE in pieces
        if not (scaled and piece.bytes == piece.params):  # of int8 every byte is a number
            _check_floats(piece, layout.path)


def _expected(config: RecogniserConfig, vocabulary: int) -> dict[str, int]:
    """Elements by name."""
    d = config.width
    expected: dict[str, int] = {}
    if config.classifier is Classifier.SOFTMAX:
        expected |= _matrix("classifier", "columns", config.classifier_bottleneck, vocabulary, d)
    if config.embedding is Embedding.LEARNED:
        expected |= _matrix("embedding", "rows", config.embedding_bottleneck, vocabulary, d)
    if config.code_length is None:
        return expected
    projection = config.code_length * d
    if config.classifier is Classifier.HAMMING:
        expected["classifier.projection.weight"] = projection
    if config.embedding is Embedding.HAMMING:
        expected["embedding.projection.weight"] = projection
    expected["codebook"] = vocabulary * config.code_length // 8
    return expected


def _matrix(
    part: str, table: str, bottleneck: int | None, vocabulary: int, width: int
) -> dict[str, int]:
    """Of a [V, d] matrix, whole or as a [V, p] ``table`` and a projection."""
    if bottleneck is None:
        return {f"{part}.weight": vocabulary * width}
    return {
        f"{part}.{table}.weight": vocabulary * bottleneck,
        f"{part}.projection.weight": bottleneck * width,
    }


def _check_floats(piece: Piece, path: Path) -> None:
    """Read through a float tensor, a few MiB at a time."""
    import numpy as np

    width = piece.bytes / max(piece.params, 1)  # no whole number where elements are varints
    kind = {2.0: np.float16, 4.0: np.float32}.get(width)
    if kind is None:
        raise InputRefused(f"{path}: tensor {piece.name} has {width:g} bytes an element")
    with piece.file.open("rb") as stream:
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
