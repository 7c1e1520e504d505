"""What passes along an arrow of the chain, and the file names it goes by."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from hcompress.errors import InputRefused
from hcompress.formats.engine import PLAN_FILE
from hcompress.formats.open import Format, ModelFile
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
_KINDS: Final[Mapping[Format, Kind]] = {
    Format.SAFETENSORS: Kind.CHECKPOINT,
    Format.ONNX: Kind.ONNX,
    Format.ENGINE: Kind.ENGINE,
}
SUFFIXES: Final = (".safetensors", ".onnx", ".plan", ".engine", ".pt", ".pth")
"""What models are called."""


def kind_of(file: ModelFile) -> Kind:
    """What a file passes for that no manifest speaks of.

    Somebody else's checkpoint passes for the graph that it stands for: its pickle is never run.
    """
    return Kind.ONNX if file.bare else _KINDS[file.format]


def not_loaded(path: Path) -> InputRefused:
    """The error for a torch.save file, if a recogniser of ours is to be loaded."""
    return InputRefused(
        f"{path}: a torch.save file: recognisers of ours are loaded from .safetensors or .onnx"
    )
