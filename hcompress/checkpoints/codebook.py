"""A codebook on disk: `codebook.safetensors`, beside the model it was made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from hcompress.checkpoints.weights import read_tensors
from hcompress.errors import InputRefused, UsageError
from hcompress.formats.open import ModelFile, Source, folder_of
from hcompress.heads.hamming.codebook import Codebook
from hcompress.spec.exported import CODEBOOK_FILE
from hcompress.spec.vocabulary import Vocabulary

KEY = "hcompress"


def codebook_bytes(codebook: Codebook, vocabulary: Vocabulary) -> bytes:
    """The file's bytes: the same for the same codebook and characters."""
    about = json.dumps({"characters": _digest(vocabulary), "format": 1}, sort_keys=True)
    # safetensors writes an array's memory as it lies: row by row, or it comes back as another one.
    tensors: dict[str, NDArray[Any]] = {
        "codes": np.ascontiguousarray(codebook.codes),
        "projection": np.ascontiguousarray(codebook.projection),
    }
    return save(tensors, metadata={KEY: about})


def read_codebook(path: Path, vocabulary: Vocabulary, width: int) -> Codebook:
    """Raises UsageError if there is none, InputRefused if it is another model's."""
    if not path.exists():
        raise UsageError(f"{path}: no codebook; run the codebook stage first")
    file = ModelFile(path)
    pieces = {piece.name: piece for piece in file.layout.pieces}
    if pieces.keys() != {"codes", "projection"}:
        raise InputRefused(f"{path}: not a codebook this tool wrote")
    if _digest(vocabulary) not in (file.layout.metadata or ""):
        raise InputRefused(f"{path}: made for another charset")
    codes, projection = pieces["codes"], pieces["projection"]
    size = len(vocabulary)
    fits = codes.type == "U8" and len(codes.shape) == 2 and codes.shape[0] == size
    if not fits or projection.type != "F32" or projection.shape != (width, codes.shape[1] * 8):
        raise InputRefused(
            f"{path}: codes {codes.shape} and projection {projection.shape} do not fit"
            f" {size} characters of {width} features"
        )
    tensors = read_tensors(file, pieces)
    return Codebook(tensors["codes"].numpy(), tensors["projection"].numpy())


def _digest(vocabulary: Vocabulary) -> str:
    return hashlib.sha256("".join(vocabulary.characters).encode()).hexdigest()


def codebook_beside(source: Source, vocabulary: Vocabulary, width: int) -> Codebook:
    """The codebook in an artifact's folder, or beside a bare model file."""
    return read_codebook(_beside(source), vocabulary, width)


def pass_on(source: Source, out: Path) -> None:
    """Copy the codebook to the next folder: one part of the head is still to be replaced."""
    (out / CODEBOOK_FILE).write_bytes(_beside(source).read_bytes())


def _beside(source: Source) -> Path:
    return folder_of(source) / CODEBOOK_FILE


def waiting_codebook(source: Source, vocabulary: Vocabulary, width: int) -> Codebook | None:
    """`codebook_beside`, or None if there is none."""
    path = _beside(source)
    return read_codebook(path, vocabulary, width) if path.exists() else None
