"""Anything that reads images, whatever it runs on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from hcompress.artifacts.source import open_source
from hcompress.errors import InputRefused, UsageError
from hcompress.foreign.header import is_foreign
from hcompress.foreign.options import AS_FOUND, ImportOptions
from hcompress.formats.open import Format, ModelFile
from hcompress.runtime.options import PLAIN, ReadOptions
from hcompress.spec.header import read_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]


class _Plain(TypedDict):
    only: tuple[str, ...] | None
    min_confidence: float
    providers: tuple[str, ...]


class Reading(Protocol):
    """What a model made of one image."""

    @property
    def text(self) -> str: ...

    @property
    def confidence(self) -> float:
        """0 to 1: the product over the decoding steps, the EOS step included; low for an empty
        text of an image with ink."""
        ...

    @property
    def candidates(self) -> Sequence[Any]:
        """The best few characters of each step with their probabilities."""
        ...


class Reader(Protocol):
    """A model that reads."""

    @property
    def characters(self) -> Sequence[str]:
        """What it can answer."""
        ...

    def read(self, images: Images) -> Sequence[Reading]:
        """A reading for each RGB image, h x w x 3 of any size, or N x height x width x 3."""
        ...


def open_reader(
    model: Path | ModelFile, options: ImportOptions = AS_FOUND, reading: ReadOptions = PLAIN
) -> Reader:
    """A reader for a checkpoint, ours or of a known recogniser, for an ONNX file, or for an
    artifact folder holding one.

    ``options`` say of a recogniser from elsewhere what its file does not say, ``reading`` how it
    reads. Raises UsageError if there is nothing, or a provider is given to what onnxruntime does
    not run, and InputRefused if it is not a model that reads, or is damaged.
    """
    file = model if isinstance(model, ModelFile) else open_source(model).opened
    threads = reading.threads or 1
    plain: _Plain = {
        "only": reading.only,
        "min_confidence": reading.min_confidence,
        "providers": reading.providers,
    }
    if is_foreign(file):
        from hcompress.runtime.foreign_reader import ForeignReader

        return ForeignReader(file, threads, options, **plain)
    if file.format is Format.ONNX:
        from hcompress.runtime import OnnxReader

        return OnnxReader(file, threads, **plain)
    if file.format is Format.ENGINE:
        raise InputRefused(f"{file.path}: an engine is read on its GPU server: give its ONNX file")
    read_header(file)  # refuses what is broken, or not ours, before torch is imported
    if reading.providers:
        raise UsageError(f"{file.path}: torch reads a checkpoint: providers are for ONNX files")
    from hcompress.evaluation.torch_reader import TorchReader

    return TorchReader(
        file, reading.threads, only=reading.only, min_confidence=reading.min_confidence
    )
