"""The tensors in a recogniser's file, read where its layout says they lie.

A safetensors file of ours holds them and no others. An ONNX file of ours has them under the same
names, as the same bytes, among the constants of its graph.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import torch
from torch import Tensor

from hcompress.errors import InputRefused
from hcompress.formats.layout import Piece
from hcompress.formats.open import Format, ModelFile
from hcompress.spec.config import SCALE

TYPES: Final[Mapping[str | None, torch.dtype]] = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16,
    "I32": torch.int32, "I64": torch.int64, "F16": torch.float16, "BF16": torch.bfloat16,
    "F32": torch.float32, "F64": torch.float64,
}  # fmt: skip
"""By the name that a `Piece` gives them."""


def stored_pieces(file: ModelFile, names: Collection[str]) -> dict[str, Piece]:
    """The recogniser's tensors, by name. ``names`` are those of its weights, which tell them from
    an ONNX graph's own constants; their scales are found too.

    Raises InputRefused if the file keeps them elsewhere, or has one twice or in a way that no
    file of ours has. Whether they fit a configuration is not looked at.
    """
    found: dict[str, Piece] = {}
    for piece in file.layout.pieces:
        name = piece.name
        if file.format is Format.ONNX and name.removesuffix(SCALE) not in names:
            continue
        if name in found:
            raise InputRefused(f"{file.path}: tensor {name} is there twice")
        if piece.type not in TYPES or piece.file != file.path:
            raise InputRefused(f"{file.path}: tensor {name} is stored in no way of ours")
        found[name] = piece
    return found


def read_tensors(file: ModelFile, pieces: Mapping[str, Piece]) -> dict[str, Tensor]:
    """Each piece as a tensor of its own memory, of its type and shape.

    Raises InputRefused if the file was changed since it was looked at.
    """
    tensors = {}
    with file.stream() as stream:
        for name, piece in pieces.items():
            data = torch.empty(piece.bytes, dtype=torch.uint8)
            stream.seek(piece.offset)
            if stream.readinto(data.numpy().data) != piece.bytes:
                raise InputRefused(f"{file.path}: ends inside of tensor {name}")
            tensors[name] = data.view(TYPES[piece.type]).reshape(piece.shape)
    return tensors
