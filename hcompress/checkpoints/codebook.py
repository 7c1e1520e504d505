"""A codebook on disk: `codebook.safetensors`, beside the model it was made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from hcompress.errors import InputRefused, UsageError
from hcompress.heads.hamming.codebook import Codebook
from hcompress.spec.vocabulary import Vocabulary

CODEBOOK_FILE = "codebook.safetensors"
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
    """Raises UsageError where there is none, InputRefused where it is another model's."""
    if not path.exists():
        raise UsageError(f"{path}: no codebook; run the codebook stage first")
    from hcompress.sizes import breakdown

    breakdown(path)
    try:
        with safe_open(path, framework="np") as file:
            about = (file.metadata() or {}).get(KEY, "")
            codes, projection = file.get_tensor("codes"), file.get_tensor("projection")
    except SafetensorError as error:
        raise InputRefused(f"{path}: {error}") from None
    if _digest(vocabulary) not in about:
        raise InputRefused(f"{path}: made for another charset")
    fits = codes.ndim == 2 and codes.dtype == np.uint8 and len(codes) == len(vocabulary)
    if not fits or projection.shape != (width, codes.shape[1] * 8):
        raise InputRefused(
            f"{path}: codes {codes.shape} and projection {projection.shape} do not fit"
            f" {len(vocabulary)} characters of {width} features"
        )
    return Codebook(codes, projection)


def _digest(vocabulary: Vocabulary) -> str:
    return hashlib.sha256("".join(vocabulary.characters).encode()).hexdigest()


def codebook_beside(source: Path, vocabulary: Vocabulary, width: int) -> Codebook:
    """The codebook in an artifact's folder, or beside a bare model file."""
    folder = source if source.is_dir() else source.parent
    return read_codebook(folder / CODEBOOK_FILE, vocabulary, width)


def pass_on(source: Path, out: Path) -> None:
    """Copy the codebook to the next folder: one part of the head is still to be replaced."""
    folder = source if source.is_dir() else source.parent
    (out / CODEBOOK_FILE).write_bytes((folder / CODEBOOK_FILE).read_bytes())
