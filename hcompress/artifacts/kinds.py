"""What passes along an arrow of the chain, and the file names it goes by."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from hcompress.errors import InputRefused
from hcompress.formats.engine import PLAN_FILE
from hcompress.formats.open import Format
from hcompress.spec.exported import ONNX_FILE


class Kind(StrEnum):
    """What passes along an arrow of the chain."""

    NOTHING = "nothing"
    CHECKPOINT = "checkpoint"
    ONNX = "onnx"
    ENGINE = "engine"


MODEL_FILES: Final[Mapping[Kind, str]] = {
    Kind.CHECKPOINT: "model.safetensors",
    Kind.ONNX: ONNX_FILE,
    Kind.ENGINE: PLAN_FILE,
}
KINDS: Final[Mapping[Format, Kind]] = {
    Format.SAFETENSORS: Kind.CHECKPOINT,
    Format.ONNX: Kind.ONNX,
    Format.ENGINE: Kind.ENGINE,
}
"""What a bare file passes for."""
SUFFIXES: Final = (".safetensors", ".onnx", ".plan", ".engine")
"""What models that are loaded are called."""
MEASURED_ONLY: Final = (".pt", ".pth")
"""Suffixes of models that are not loaded: their sizes are read, their pickle is never run."""


def not_loaded(path: Path) -> InputRefused:
    """The error for a torch.save file, if a model is to be loaded."""
    return InputRefused(
        f"{path}: a torch.save file: inspect, compare and gate read its sizes; models are loaded"
        " from .safetensors or .onnx"
    )
