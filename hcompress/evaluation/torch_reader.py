"""Reads images with a checkpoint, through torch: the answers an export is held against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hcompress.checkpoints.checkpoint import Checkpoint, load_checkpoint
from hcompress.errors import NumericalError
from hcompress.formats.open import ModelFile
from hcompress.runtime.long_lines import read_lines
from hcompress.runtime.reading import Reading
from hcompress.spec.config import TransformerConfig
from hcompress.spec.preprocessing import Preprocessing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class TorchReader:
    """A checkpoint that reads. Raises what `load_checkpoint` raises."""

    def __init__(self, source: Path | ModelFile | Checkpoint) -> None:
        self.checkpoint = source if isinstance(source, Checkpoint) else load_checkpoint(source)

    @property
    def preprocessing(self) -> Preprocessing:
        """What images are fitted to."""
        return self.checkpoint.config.preprocessing

    @property
    def characters(self) -> tuple[str, ...]:
        """What it can answer."""
        return self.checkpoint.vocabulary.characters

    @property
    def longest(self) -> int | None:
        """Characters that it reads in one piece of a line, at most; None if there is no end."""
        config = self.checkpoint.config
        return config.max_steps - 1 if isinstance(config, TransformerConfig) else None

    def read(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[Reading]:
        """A reading for each RGB image, h x w x 3 of any size, or [N, H, W, 3]."""
        return list(read_lines(images, self.preprocessing, self.decode, self.checkpoint.vocabulary))

    def decode(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """uint8 [N, H, W, 3] -> ids and probabilities [N, T, k], as `OnnxReader.decode`.

        Raises NumericalError for NaN, and for logits that are not finite.
        """
        decoded = self.checkpoint.model.read(torch.from_numpy(images))
        if bool(decoded.probabilities.isnan().any()):
            raise NumericalError("the checkpoint answers NaN: its weights are damaged")
        return decoded.ids.numpy(), decoded.probabilities.numpy()
