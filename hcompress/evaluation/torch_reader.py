"""Reads images with a checkpoint, through torch: the answers an export is held against."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hcompress.checkpoints.checkpoint import Checkpoint, load_checkpoint
from hcompress.errors import NumericalError
from hcompress.formats.open import ModelFile
from hcompress.runtime.long_lines import read_lines
from hcompress.runtime.only import Only, key_of, of_vocabulary
from hcompress.runtime.reading import Reading
from hcompress.spec.config import TransformerConfig
from hcompress.spec.preprocessing import Preprocessing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.data.given import Images


class TorchReader:
    """A checkpoint that reads. Raises what `load_checkpoint` raises.

    ``threads`` are torch's, for all that runs in this process; None leaves them.
    ``only`` and ``min_confidence``: as `OnnxReader` has them; the choice is among the candidates
    of each step.
    """

    def __init__(
        self,
        source: Path | ModelFile | Checkpoint,
        threads: int | None = None,
        *,
        only: Only = None,
        min_confidence: float = 0.0,
    ) -> None:
        self.checkpoint = source if isinstance(source, Checkpoint) else load_checkpoint(source)
        if threads is not None:
            torch.set_num_threads(threads)
        self._least, key = min_confidence, key_of(only)
        self._mask = None if key is None else of_vocabulary(self.checkpoint.vocabulary, key)

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

    def read(self, images: Images) -> list[Reading]:
        """A reading for each image, in any form that `OnnxReader.read` takes."""
        vocabulary = self.checkpoint.vocabulary
        size = self.preprocessing
        return list(read_lines(images, size, self.decode, vocabulary, self._mask, self._least))

    def decode(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """uint8 [N, H, W, 3] -> ids and probabilities [N, T, k], as `OnnxReader.decode`.

        Raises NumericalError for NaN, and for logits that are not finite.
        """
        decoded = self.checkpoint.model.read(torch.from_numpy(images))
        if bool(decoded.probabilities.isnan().any()):
            raise NumericalError("the checkpoint answers NaN: its weights are damaged")
        return decoded.ids.numpy(), decoded.probabilities.numpy()
