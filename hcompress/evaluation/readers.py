"""Anything that reads images, whatever it runs on, opened from a path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hcompress.artifacts.kinds import Kind
from hcompress.artifacts.source import open_source
from hcompress.errors import InputRefused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.spec.config import Preprocessing

    Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]


class Reading(Protocol):
    """What a model made of one image."""

    @property
    def text(self) -> str: ...

    @property
    def confidence(self) -> float:
        """0 to 1: the product over the decoding steps, the EOS step included."""
        ...

    @property
    def candidates(self) -> Sequence[Any]:
        """The best few characters of each step with their probabilities."""
        ...


class Reader(Protocol):
    """A model that reads."""

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What images have to be fitted to; None: it takes them as they are."""
        ...

    @property
    def characters(self) -> Sequence[str]:
        """What it can answer."""
        ...

    def read(self, images: Images) -> Sequence[Reading]:
        """A reading for each RGB image, h x w x 3 of any size, or N x height x width x 3."""
        ...


def open_reader(model: Path) -> Reader:
    """A reader for a checkpoint or an ONNX file, or an artifact folder holding one.

    Raises UsageError where there is nothing and InputRefused where it is not a model that
    reads, or is damaged.
    """
    found = open_source(model)
    if found.kind is Kind.ONNX:
        from hcompress.runtime import OnnxReader

        return OnnxReader(found.file)
    if found.kind is Kind.CHECKPOINT:
        from hcompress.evaluation.torch_reader import TorchReader

        return TorchReader(found.file)
    raise InputRefused(f"{found.file}: an engine is read on its GPU server: give its ONNX file")
