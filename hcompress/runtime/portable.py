"""Reads images with the single-file form of an exported recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcompress.errors import InputRefused, UsageError
from hcompress.recogniser.config import Preprocessing, RecogniserConfig
from hcompress.recogniser.metadata import ModelMetadata
from hcompress.recogniser.vocabulary import FIRST_READABLE, Vocabulary
from hcompress.runtime.checks import check_tensors
from hcompress.runtime.reading import Reading, fit_all, readings
from hcompress.runtime.session import Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ONNX_FILE = "model.onnx"
BATCH = 32
"""Images read at once: more gain little and cost memory."""
CANDIDATES = 5
HEIGHT = "H"


class OnnxReader:
    """The recogniser in an ONNX file, or in a folder that holds a `model.onnx`.

    Raises UsageError where there is none; InputRefused where the file is damaged, points
    outside its folder, has no hcompress metadata, or does not match it; NumericalError where
    a weight is NaN or infinite.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        from hcompress import sizes

        file = path / ONNX_FILE if path.is_dir() else path
        if not file.exists():
            raise UsageError(f"{file}: no such ONNX file")
        layout = sizes.layout(file)
        if layout.metadata is None:
            raise InputRefused(f"{file}: no hcompress metadata: not a recogniser this tool wrote")
        try:
            self.metadata = ModelMetadata.from_json(layout.metadata)
        except InputRefused as error:
            raise InputRefused(f"{file}: {error}") from None
        check_tensors(layout, self.config, len(self.vocabulary))
        self._file = file
        self._session = Session(file, threads, {HEIGHT: self.preprocessing.height})
        self._check_ends()

    @property
    def config(self) -> RecogniserConfig:
        return self.metadata.config

    @property
    def preprocessing(self) -> Preprocessing:
        """What images are fitted to."""
        return self.config.preprocessing

    @property
    def vocabulary(self) -> Vocabulary:
        return self.metadata.vocabulary

    def read(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[Reading]:
        """A reading for each RGB image, h x w x 3 of any size, or [N, H, W, 3]."""
        found: list[Reading] = []
        for start in range(0, len(images), BATCH):
            fitted = fit_all(images[start : start + BATCH], self.preprocessing)
            found += readings(*self.decode(fitted), self.vocabulary)
        return found

    def decode(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """uint8 [N, H, W, 3] -> ids [N, T, k], best first, and probabilities [N, T, k].

        T is the longest line's steps. After a line's EOS its ids are PAD, with probability 1.
        """
        ids, probabilities = self._session.run(["ids", "probabilities"], {"images": images})
        kept = self._kept
        good = ids.ndim == 3 and ids.shape[::2] == (len(images), kept)
        if not good or ids.shape != probabilities.shape:
            raise self._refused(f"answers {ids.shape} and {probabilities.shape}")
        if ids.min(initial=0) < 0 or ids.max(initial=0) >= len(self.vocabulary):
            raise self._refused("answers an id outside of its vocabulary")
        return ids.astype("int64", copy=False), probabilities.astype("float32", copy=False)

    @property
    def _kept(self) -> int:
        return min(CANDIDATES, len(self.vocabulary) - FIRST_READABLE)

    def _check_ends(self) -> None:
        """Inputs and outputs are those that the metadata promises."""
        size, kept = self.preprocessing, self._kept
        wanted_in: dict[str, Any] = {
            "images": ("tensor(uint8)", ["N", size.height, size.width, size.channels])
        }
        wanted_out = {
            "ids": ("tensor(int64)", ["N", "T", kept]),
            "probabilities": ("tensor(float)", ["N", "T", kept]),
        }
        for what, wanted, found in (
            ("input", wanted_in, self._session.inputs),
            ("output", wanted_out, self._session.outputs),
        ):
            if found != wanted:
                raise self._refused(f"its {what}s are {found}, not {wanted}")

    def _refused(self, what: str) -> InputRefused:
        return InputRefused(f"{self._file}: {what}: export it again")
