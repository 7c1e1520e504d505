"""The weights in an ONNX file of ours: under the names, and as the bytes, a checkpoint has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hcompress.errors import InputRefused
from hcompress.recogniser.config import SCALE
from hcompress.recogniser.metadata import ModelMetadata
from hcompress.recogniser.model import Recogniser

if TYPE_CHECKING:
    from hcompress.sizes import Piece

FLOATS = {2: torch.float16, 4: torch.float32}
"""By bytes an element. Of one byte there are the codebook and int8 weights."""


def read_onnx_weights(path: Path) -> tuple[ModelMetadata, dict[str, Tensor]]:
    """Metadata and tensors of an exported recogniser; of the graph, nothing is looked at.

    Raises InputRefused where the file is damaged or not ours, or keeps weights in other files.
    """
    from hcompress import sizes

    layout = sizes.layout(path)
    if layout.metadata is None:
        raise InputRefused(f"{path}: no hcompress metadata: not a recogniser this tool wrote")
    try:
        metadata = ModelMetadata.from_json(layout.metadata)
    except InputRefused as error:
        raise InputRefused(f"{path}: {error}") from None
    with torch.device("meta"):
        shapes = Recogniser(metadata.config, len(metadata.vocabulary)).state_dict()
    tensors: dict[str, Tensor] = {}
    for piece in layout.pieces:
        like = shapes.get(piece.name.removesuffix(SCALE))
        if like is None:
            continue  # the graph's own constants
        if piece.name in tensors or piece.file != path:
            raise InputRefused(f"{path}: tensor {piece.name} is there twice, or in another file")
        shape = like.shape if piece.name in shapes else like.shape[:1]
        tensors[piece.name] = _tensor(piece, like.dtype, shape)
    return metadata, tensors


def _tensor(piece: Piece, like: torch.dtype, shape: torch.Size) -> Tensor:
    """Raises InputRefused where the file holds another number of elements."""
    if piece.params != shape.numel():
        raise InputRefused(
            f"{piece.file}: tensor {piece.name} has {piece.params} elements, and configuration and"
            f" charset ask for {list(shape)}"
        )
    width = piece.bytes // max(1, piece.params)
    kind = FLOATS.get(width, torch.int8) if like.is_floating_point else like
    if width * piece.params != piece.bytes or width != kind.itemsize:
        raise InputRefused(f"{piece.file}: tensor {piece.name} is stored in no way of ours")
    with piece.file.open("rb") as stream:
        stream.seek(piece.offset)
        data = bytearray(stream.read(piece.bytes))
    return torch.frombuffer(data, dtype=kind).reshape(shape)
