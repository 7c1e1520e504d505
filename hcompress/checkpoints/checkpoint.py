"""Recognisers on disk: one safetensors file that holds all a reader needs.

An ONNX file of ours holds the same tensors under the same names, and is read as well. Weights may
be stored as FP16, or as int8 with a scale a channel; in memory they are float32, which is what the
CPU computes in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hcompress.artifacts.kinds import MODEL_FILES, Kind, not_loaded
from hcompress.checkpoints.onnx_weights import read_onnx_weights
from hcompress.compute.quantised import Quantised
from hcompress.errors import InputRefused, NumericalError, UsageError
from hcompress.recognisers.build import build
from hcompress.recognisers.contract import Recogniser
from hcompress.spec.config import SCALE, RecogniserConfig, Weights
from hcompress.spec.header import KEY, ModelMetadata, Provenance
from hcompress.spec.vocabulary import Vocabulary
from hcompress.strict.atomic import write_bytes


def stored(floats: Mapping[str, Tensor], packed: Mapping[str, Quantised]) -> dict[str, Tensor]:
    """A model's state as a file has it: int8, and each one's scale behind it."""
    return dict(_stored(floats, packed))


MODEL_FILE = MODEL_FILES[Kind.CHECKPOINT]
STORED = {
    Weights.FP32: (torch.float32,),
    Weights.FP16: (torch.float16, torch.float32),
    Weights.INT8: (torch.float16, torch.float32),
}
"""Types of floats; an int8 weight is no float, but its scale is."""


@dataclass(frozen=True)
class Checkpoint:
    """A recogniser, its characters, and where it came from."""

    model: Recogniser
    vocabulary: Vocabulary
    provenance: Provenance
    packed: Mapping[str, Quantised] = field(default_factory=dict)
    """The int8 weights the model's were made of, by name."""

    @property
    def config(self) -> RecogniserConfig:
        return self.model.config

    def stored(self) -> dict[str, Tensor]:
        """The model's weights as a file has them: int8 ones with their scales."""
        return stored(self.model.state_dict(), self.packed)


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
    metadata, tensors = read_stored(source)
    try:
        return _assemble(metadata, tensors)
    except (InputRefused, NumericalError) as error:
        raise type(error)(f"{model_file(source)}: {error}") from None


def read_stored(source: Path) -> tuple[ModelMetadata, dict[str, Tensor]]:
    """A checkpoint's metadata, and its tensors as the file has them.

    Raises InputRefused where the file is damaged or not ours; whether the tensors fit the
    configuration is not looked at.
    """
    path = model_file(source)
    from hcompress.sizes import Format, breakdown, format_of

    kind = format_of(path)
    if kind is Format.ONNX:
        return read_onnx_weights(path)
    if kind is Format.TORCH:
        raise not_loaded(path)
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
        return ModelMetadata.from_json(text), tensors
    except InputRefused as error:
        raise InputRefused(f"{path}: {error}") from None


def _assemble(metadata: ModelMetadata, tensors: dict[str, Tensor]) -> Checkpoint:
    config, size = metadata.config, len(metadata.vocabulary)
    with torch.device("meta"):
        shapes = build(config, size).state_dict()
    scales = _scales(shapes, tensors) if config.weights is Weights.INT8 else {}
    _check_tensors({**shapes, **scales}, tensors, STORED[config.weights])
    packed = {name.removesuffix(SCALE): _packed(name, tensors) for name in scales}
    model = build(config, size)
    model.load_state_dict(
        {
            name: packed[name].floats() if name in packed else tensors[name].to(expected.dtype)
            for name, expected in shapes.items()
        }
    )
    return Checkpoint(model.eval(), metadata.vocabulary, metadata.provenance, packed)


def _scales(shapes: dict[str, Tensor], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The scales there must be: [out] for each matrix that is int8."""
    return {
        name + SCALE: shapes[name].new_empty(len(shapes[name]))
        for name, tensor in tensors.items()
        if tensor.dtype == torch.int8 and name in shapes and shapes[name].dim() > 1
    }


def _packed(scale: str, tensors: dict[str, Tensor]) -> Quantised:
    if not bool((tensors[scale] > 0).all()):
        raise InputRefused(f"tensor {scale} holds a scale that is not above zero")
    packed = Quantised(tensors[scale.removesuffix(SCALE)], tensors[scale].float())
    if not bool(torch.isfinite(packed.floats()).all()):
        raise NumericalError(f"tensor {scale} makes infinity of its weights")
    return packed


def _check_tensors(
    shapes: dict[str, Tensor], tensors: dict[str, Tensor], floats: tuple[torch.dtype, ...]
) -> None:
    for name in sorted(shapes.keys() ^ tensors.keys()):
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
        if name + SCALE in shapes:
            allowed = (torch.int8,)
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
    packed: Mapping[str, Quantised] | None = None,
) -> None:
    """Write a recogniser; the same model gives the same bytes.

    ``half_except``: store every float as FP16 but the named tensors; None stores float32.
    ``packed``: store these weights as int8, and every other float as FP16.
    Raises NumericalError naming a tensor that is not finite (after rounding to FP16 too).
    """
    if packed is not None:
        half_except = frozenset()
    tensors: dict[str, Tensor] = {}
    for name, value in stored(model.state_dict(), packed or {}).items():
        tensor = value.detach().cpu().contiguous()
        if half_except is not None and tensor.is_floating_point() and name not in half_except:
            tensor = tensor.half()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise NumericalError(f"{path.name}: tensor {name} holds NaN or infinity")
        tensors[name] = tensor
    weights = Weights.FP32 if half_except is None else Weights.FP16
    config = replace(model.config, weights=Weights.INT8 if packed is not None else weights)
    write_stored(path, ModelMetadata(config, vocabulary, provenance), tensors)


def write_stored(path: Path, metadata: ModelMetadata, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `read_stored`."""
    write_bytes(path, save(dict(tensors), metadata={KEY: metadata.to_json()}))


def _stored(
    floats: Mapping[str, Tensor], packed: Mapping[str, Quantised]
) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in floats.items():
        if name in packed:
            yield name, packed[name].values
            yield name + SCALE, packed[name].scale
        else:
            yield name, tensor
