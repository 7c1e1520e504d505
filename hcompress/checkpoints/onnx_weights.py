"""The weights in an ONNX file of ours: under the names, and as the bytes, a checkpoint has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hcompress.errors import InputRefused
from hcompress.recognisers.build import build
from hcompress.spec.config import SCALE
from hcompress.spec.header import ModelMetadata

if TYPE_CHECKING:
    import onnx


def read_onnx_weights(path: Path) -> tuple[ModelMetadata, dict[str, Tensor]]:
    """Metadata and tensors of an exported recogniser; of the graph, nothing is looked at.

    Raises InputRefused where the file is damaged or not ours, keeps weights in other files, or
    has a tensor twice or in a way that no export of ours has. Whether the tensors fit the
    configuration is not looked at.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    from hcompress import sizes

    layout = sizes.layout(path)  # refuses broken structure before onnx sees it
    if layout.metadata is None:
        raise InputRefused(f"{path}: no hcompress metadata: not a recogniser this tool wrote")
    try:
        metadata = ModelMetadata.from_json(layout.metadata)
    except InputRefused as error:
        raise InputRefused(f"{path}: {error}") from None
    with torch.device("meta"):
        names = build(metadata.config, len(metadata.vocabulary)).state_dict().keys()
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except DecodeError as error:
        raise InputRefused(f"{path}: {error}") from None
    tensors: dict[str, Tensor] = {}
    for tensor in graph.initializer:
        if tensor.name.removesuffix(SCALE) not in names:
            continue  # the graph's own constants
        if tensor.name in tensors:
            raise InputRefused(f"{path}: tensor {tensor.name} is there twice")
        tensors[tensor.name] = _tensor(tensor, path)
    return metadata, tensors


def _tensor(stored: onnx.TensorProto, path: Path) -> Tensor:
    from onnx import TensorProto

    kinds: dict[int, torch.dtype] = {
        TensorProto.FLOAT: torch.float32,
        TensorProto.FLOAT16: torch.float16,
        TensorProto.INT8: torch.int8,
        TensorProto.UINT8: torch.uint8,
    }
    kind = kinds.get(stored.data_type)
    if kind is None or not stored.raw_data:
        raise InputRefused(f"{path}: tensor {stored.name} is stored in no way of ours")
    # As many bytes as type and shape ask for: `sizes.layout` has seen to that.
    return torch.frombuffer(bytearray(stored.raw_data), dtype=kind).reshape(tuple(stored.dims))
