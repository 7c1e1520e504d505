"""Recognisers on disk: one safetensors file that holds all a reader needs.

An ONNX file of ours holds the same tensors under the same names, and is read as well. Weights may
be stored as FP16, or as int8 with a scale a channel; in memory they are float32, which is what the
CPU computes in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from hcompress.artifacts.kinds import MODEL_FILES, Kind, not_loaded
from hcompress.checkpoints.weights import TYPES, read_tensors, stored_pieces
from hcompress.compute.quantised import Quantised
from hcompress.errors import InputRefused, NumericalError
from hcompress.formats.layout import Piece
from hcompress.formats.open import Format, ModelFile, Source, open_file
from hcompress.recognisers.build import complete, outline
from hcompress.recognisers.contract import Recogniser
from hcompress.spec.config import SCALE, RecogniserConfig, Weights
from hcompress.spec.header import KEY, ModelMetadata, Provenance, read_header
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


def load_checkpoint(source: Source) -> Checkpoint:
    """Read a recogniser from its file, opened or not, or the folder it lies in; in eval mode.

    Nothing in the file is executed, and nothing is read or built that it does not carry. Raises
    InputRefused if the file is damaged, is not ours, or its tensors do not match its configuration
    and charset; NumericalError naming the first tensor with NaN or infinity.
    """
    file = checkpoint_file(source)
    metadata = read_header(file)
    model = outline(metadata.config, len(metadata.vocabulary))
    shapes = model.state_dict()
    pieces = stored_pieces(file, shapes.keys())
    with _naming(file):
        scales = _scales(shapes, pieces) if metadata.config.weights is Weights.INT8 else {}
        _check_pieces({**shapes, **scales}, pieces, STORED[metadata.config.weights])
    tensors = read_tensors(file, pieces)
    with _naming(file):
        _check_finite(tensors)
        packed = {name.removesuffix(SCALE): _packed(name, tensors) for name in scales}
    complete(
        model,
        {
            name: packed[name].floats() if name in packed else tensors[name].to(expected.dtype)
            for name, expected in shapes.items()
        },
    )
    return Checkpoint(model.eval(), metadata.vocabulary, metadata.provenance, packed)


def read_stored(source: Source) -> tuple[ModelMetadata, dict[str, Tensor]]:
    """A checkpoint's metadata, and its tensors as the file has them.

    Raises InputRefused if the file is damaged or not ours; whether the tensors fit the
    configuration is not looked at.
    """
    file = checkpoint_file(source)
    metadata = read_header(file)
    names: Collection[str] = ()
    if file.format is Format.ONNX:
        names = outline(metadata.config, len(metadata.vocabulary)).state_dict().keys()
    return metadata, read_tensors(file, stored_pieces(file, names))


def checkpoint_file(source: Source) -> ModelFile:
    """The file to load, opened once. Raises InputRefused if it is none that is loaded."""
    file = open_file(source, MODEL_FILE, "checkpoint")
    if file.format is Format.TORCH:
        raise not_loaded(file.path)
    return file


@contextmanager
def _naming(file: ModelFile) -> Iterator[None]:
    """Errors name the file."""
    try:
        yield
    except (InputRefused, NumericalError) as error:
        raise type(error)(f"{file.path}: {error}") from None


def _scales(shapes: Mapping[str, Tensor], pieces: Mapping[str, Piece]) -> dict[str, Tensor]:
    """The scales there must be: [out] for each matrix that is int8."""
    return {
        name + SCALE: shapes[name].new_empty(len(shapes[name]))
        for name, piece in pieces.items()
        if TYPES[piece.type] is torch.int8 and name in shapes and shapes[name].dim() > 1
    }


def _packed(scale: str, tensors: Mapping[str, Tensor]) -> Quantised:
    if not bool((tensors[scale] > 0).all()):
        raise InputRefused(f"tensor {scale} holds a scale that is not above zero")
    packed = Quantised(tensors[scale.removesuffix(SCALE)], tensors[scale].float())
    if not bool(torch.isfinite(packed.floats()).all()):
        raise NumericalError(f"tensor {scale} makes infinity of its weights")
    return packed


def _check_pieces(
    shapes: Mapping[str, Tensor], pieces: Mapping[str, Piece], floats: tuple[torch.dtype, ...]
) -> None:
    """Raises InputRefused unless the file has what the configuration asks for, before any of it
    is read."""
    for name in sorted(shapes.keys() ^ pieces.keys()):
        what = "missing" if name in shapes else "unexpected"
        raise InputRefused(f"tensor {name} is {what}")
    for name, piece in pieces.items():
        expected = shapes[name]
        if piece.shape != expected.shape:
            raise InputRefused(
                f"tensor {name} is {list(piece.shape)}, and configuration and charset"
                f" ask for {list(expected.shape)}"
            )
        allowed = floats if expected.is_floating_point() else (expected.dtype,)
        if name + SCALE in shapes:
            allowed = (torch.int8,)
        if TYPES[piece.type] not in allowed:
            raise InputRefused(f"tensor {name} is {TYPES[piece.type]}, not {allowed[0]}")


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
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
