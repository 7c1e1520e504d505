"""Recognisers on disk: one safetensors file that holds all a reader needs.

Weights may be stored as FP16; in memory they are float32, which is what the CPU computes in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hcompress.errors import InputRefused, NumericalError, UsageError
from hcompress.recogniser.config import RecogniserConfig
from hcompress.recogniser.metadata import KEY, ModelMetadata
from hcompress.recogniser.model import Recogniser
from hcompress.recogniser.vocabulary import Vocabulary
from hcompress.stages.base import Provenance

MODEL_FILE = "model.safetensors"
STORED = {"fp32": (torch.float32,), "fp16": (torch.float16, torch.float32)}


@dataclass(frozen=True)
class Checkpoint:
    """A recogniser, its characters, and where it came from."""

    model: Recogniser
    vocabulary: Vocabulary
    provenance: Provenance

    @property
    def config(self) -> RecogniserConfig:
        return self.model.config


def model_file(source: Path) -> Path:
    """The checkpoint file itself, given it or the folder it lies in."""
    path = source / MODEL_FILE if source.is_dir() else source
    if not path.exists():
        raise UsageError(f"{path}: no such checkpoint")
    return path


def load_checkpoint(source: Path) -> Checkpoint:
    """Read a recogniser, in eval mode. Nothing in the file is executed.

    Raises InputRefused where the file is damaged, is not ours, or its tensors do not match its
    configuration and charset; NumericalError naming the first tensor with NaN or infinity.
    """
    path = model_file(source)
    from hcompress.sizes import breakdown

    breakdown(path)  # refuses broken structure before safetensors allocates anything
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise InputRefused(
                    f"{path}: no hcompress metadata: not a recogniser this tool wrote"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputRefused(f"{path}: {error}") from None
    try:
        metadata = ModelMetadata.from_json(text)
        return _assemble(metadata, tensors)
    except (InputRefused, NumericalError) as error:
        raise type(error)(f"{path}: {error}") from None


def _assemble(metadata: ModelMetadata, tensors: dict[str, Tensor]) -> Checkpoint:
    config, size = metadata.config, len(metadata.vocabulary)
    if config.weights not in STORED:
        raise InputRefused(f"weights stored as {config.weights} can't be loaded by this version")
    with torch.device("meta"):
        shapes = Recogniser(config, size).state_dict()
    _check_tensors(shapes, tensors, STORED[config.weights])
    model = Recogniser(config, size)
    model.load_state_dict({k: v.to(shapes[k].dtype) for k, v in tensors.items()})
    return Checkpoint(model.eval(), metadata.vocabulary, metadata.provenance)


def _check_tensors(
    shapes: dict[str, Tensor], tensors: dict[str, Tensor], floats: tuple[torch.dtype, ...]
) -> None:
    for name in shapes.keys() ^ tensors.keys():
        what = "missing" if name in shapes else "unexpected"
        raise InputRefused(f"tensor {name} is {what}")
    for name, tensor in tensors.items():
        expected = shapes[name]
        if tensor.shape != expected.shape:
            raise InputRefused(
                f"tensor {name} is {list(tensor.shape)}, and configuration and charset"
                f" ask for {list(expected.shape)}"
            )
        allowed = floats if expected.is_floating_point() else (expected.dtype,)
        if tensor.dtype not in allowed:
            raise InputRefused(f"tensor {name} is {tensor.dtype}, not {allowed[0]}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NumericalError(f"tensor {name} holds NaN or infinity")


def save_checkpoint(
    path: Path,
    model: Recogniser,
    vocabulary: Vocabulary,
    provenance: Provenance,
    half_except: frozenset[str] | None = None,
) -> None:
    """Write a recogniser; the same model gives the same bytes.

    ``half_except``: store every float as FP16 but the named tensors; None stores float32.
    Raises NumericalError naming a tensor that is not finite (after rounding to FP16 too).
    """
    tensors: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        tensor = value.detach().cpu().contiguous()
        if half_except is not None and tensor.is_floating_point() and name not in half_except:
            tensor = tensor.half()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NumericalError(f"{path.name}: tensor {name} holds NaN or infinity")
        tensors[name] = tensor
    metadata = ModelMetadata(model.config, vocabulary, provenance)
    write_bytes(path, save(tensors, metadata={KEY: metadata.to_json()}))


def write_bytes(path: Path, data: bytes) -> None:
    """Write beside, flush, rename: the name holds the whole file or what it held before."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
