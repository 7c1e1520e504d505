"""Anything that reads images, whatever it runs on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hcompress.artifacts.source import open_source
from hcompress.errors import InputRefused
from hcompress.foreign.header import is_foreign
from hcompress.foreign.options import AS_FOUND, ImportOptions
from hcompress.formats.open import Format, ModelFile
from hcompress.spec.header import read_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]


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


def open_reader(model: Path | ModelFile, options: ImportOptions = AS_FOUND) -> Reader:
    """A reader for a checkpoint, ours or of a known recogniser, for an ONNX file, or for an
    artifact folder holding one.

    ``options`` say of a recogniser from elsewhere what its file does not say. Raises UsageError if
    there is nothing and InputRefused if it is not a model that reads, or is damaged.
    """
    file = model if isinstance(model, ModelFile) else open_source(model).opened
    if is_foreign(file):
        from hcompress.runtime.foreign_reader import ForeignReader

        return ForeignReader(file, options=options)
    if file.format is Format.ONNX:
        from hcompress.runtime import OnnxReader

        return OnnxReader(file)
    if file.format is Format.ENGINE:
        raise InputRefused(f"{file.path}: an engine is read on its GPU server: give its ONNX file")
    read_header(file)  # refuses what is broken, or not ours, before torch is imported
    from hcompress.evaluation.torch_reader import TorchReader

    return TorchReader(file)
