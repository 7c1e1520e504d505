"""Reads images with the single file of an exported recogniser."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcompress.compute.session import Session
from hcompress.errors import InputRefused, NumericalError
from hcompress.formats.layout import Layout
from hcompress.formats.open import ModelFile, open_file
from hcompress.heads.native import native_ranker
from hcompress.runtime.columns import Columns
from hcompress.runtime.long_lines import read_lines
from hcompress.runtime.partition import cut_at_logits, split
from hcompress.runtime.reading import Reading
from hcompress.runtime.stepwise import Steps
from hcompress.runtime.validate import check_tensors, check_turns
from hcompress.spec.config import CANDIDATES, RecogniserConfig, TransformerConfig
from hcompress.spec.ctc import CtcConfig
from hcompress.spec.exported import HEIGHT, ONNX_FILE, WIDTH
from hcompress.spec.header import read_header
from hcompress.spec.preprocessing import Preprocessing
from hcompress.spec.vocabulary import Vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class OnnxReader:
    """The recogniser in an ONNX file, opened or not, or in a folder that holds a `model.onnx`.

    With ``steps`` it is read step by step, with the native search beside the decoder where the
    classifier is a Hamming one; of a CTC recogniser's columns all at once. Without, or where the
    file is of an older export, the file runs as it is, its own loop included, as in any ONNX
    Runtime: the same readings. None takes the faster of the two, which for a softmax classifier is
    the loop. Any number of threads may share a reader.

    Raises UsageError where there is none; InputRefused where the file is damaged, points
    outside its folder, has no hcompress metadata, or does not match it; NumericalError where
    a weight is NaN or infinite.
    """

    def __init__(
        self, source: Path | ModelFile, threads: int = 1, *, steps: bool | None = None
    ) -> None:
        opened = open_file(source, ONNX_FILE, "ONNX file")
        self.metadata = read_header(opened)
        check_turns(opened.layout, self.config.max_steps)
        check_tensors(opened.layout, self.config, len(self.vocabulary))
        self._file = opened.path
        if steps is None:
            steps = self.config.head.searched
        self._decoder = (_steps(opened, self.config, threads) if steps else None) or Loop(
            self._file, threads, {HEIGHT: self.preprocessing.height}
        )
        self._check_ends()

    @property
    def config(self) -> RecogniserConfig:
        return self.metadata.config

    @property
    def preprocessing(self) -> Preprocessing:
        """What images are fitted to."""
        return self.config.preprocessing

    @property
    def characters(self) -> tuple[str, ...]:
        """What it can answer."""
        return self.vocabulary.characters

    @property
    def longest(self) -> int | None:
        """Characters that it reads in one piece of a line, at most; None if there is no end."""
        config = self.config
        return config.max_steps - 1 if isinstance(config, TransformerConfig) else None

    @property
    def vocabulary(self) -> Vocabulary:
        return self.metadata.vocabulary

    @property
    def stepwise(self) -> bool:
        """Whether the steps are run, or the codes searched, from here; False where the file is run
        as it is."""
        return not isinstance(self._decoder, Loop)

    def read(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[Reading]:
        """A reading for each RGB image, h x w x 3 of any size, or [N, H, W, 3].

        A line too long for the input is read in pieces: see `hcompress.runtime.long_lines`.
        """
        return list(read_lines(images, self.preprocessing, self.decode, self.vocabulary))

    def decode(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """uint8 [N, H, W, 3] -> ids [N, T, k], best first, and probabilities [N, T, k].

        T is the longest line's steps. After a line's EOS its ids are PAD, with probability 1.
        Raises InputRefused where the graph answers anything else, NumericalError for NaN. The
        file's own loop gives no bit logits: where these are NaN, only the steps can tell.
        """
        kept = self._kept
        ids, probabilities = self._decoder.decode(images, kept)
        good = ids.ndim == 3 and ids.shape[::2] == (len(images), kept)
        kinds = ids.dtype.kind + probabilities.dtype.kind
        if not good or ids.shape != probabilities.shape or kinds != "if":
            raise self._refused(f"answers {ids.shape} and {probabilities.shape}")
        if ids.min(initial=0) < 0 or ids.max(initial=0) >= len(self.vocabulary):
            raise self._refused("answers an id outside of its vocabulary")
        if math.isnan(probabilities.max(initial=0)):
            raise NumericalError(f"{self._file}: answers NaN: export it again")
        return ids.astype("int64", copy=False), probabilities.astype("float32", copy=False)

    @property
    def _kept(self) -> int:
        return min(CANDIDATES, len(self.vocabulary) - self.config.transcription.first_answer)

    def _check_ends(self) -> None:
        """Inputs and outputs are those that the metadata promises."""
        size = self.preprocessing
        width = WIDTH if size.any_width else size.width
        wanted_in = {"images": ("tensor(uint8)", [size.height, width, size.channels])}
        found = {
            name: (kind, [size.height if side == HEIGHT else side for side in shape[1:]])
            for name, (kind, shape) in self._decoder.inputs.items()
        }
        if found != wanted_in:
            raise self._refused(f"its inputs are {found}, not {wanted_in}")
        if self._decoder.outputs != ("ids", "probabilities"):
            raise self._refused(f"its outputs are {', '.join(self._decoder.outputs)}")

    def _refused(self, what: str) -> InputRefused:
        return InputRefused(f"{self._file}: {what}: export it again")


class Loop:
    """The file as it is, in one onnxruntime session."""

    def __init__(self, file: Path, threads: int, dimensions: Mapping[str, int]) -> None:
        self._session = Session(file, threads, dimensions)

    @property
    def inputs(self) -> dict[str, tuple[str, list[int | str | None]]]:
        return self._session.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(self._session.outputs)

    def decode(self, images: NDArray[np.uint8], _kept: int) -> tuple[NDArray[Any], NDArray[Any]]:
        ids, probabilities = self._session.run(["ids", "probabilities"], {"images": images})
        return ids, probabilities


def _steps(opened: ModelFile, config: RecogniserConfig, threads: int) -> Steps | Columns | None:
    """None where the file can't be run in parts."""
    layout = opened.layout
    if any(piece.file != layout.path for piece in layout.pieces):
        return None  # what a model in memory points to is looked for in no folder
    with opened.stream() as stream:
        data = stream.read()
    if isinstance(config, CtcConfig):
        head = cut_at_logits(data, layout.path)
        ranker = native_ranker(config, _packed(layout, data, config))
        if head is None or ranker is None:
            return None
        return Columns(head, ranker, threads, str(layout.path))
    if not isinstance(config, TransformerConfig):
        return None
    cut = split(data, layout.path)
    if cut is None or len(cut.caches) != 2 * config.depth:
        return None
    ranker = native_ranker(config, _packed(layout, data, config))
    return Steps(cut, config, ranker, threads, str(layout.path))


def _packed(layout: Layout, data: bytes, config: RecogniserConfig) -> dict[str, NDArray[np.uint8]]:
    """The head's packed tables, by name, as bytes."""
    import numpy as np

    names = {name for name, stored in config.head_tensors(1).items() if stored.packed}
    return {
        piece.name: np.frombuffer(data, np.uint8, piece.bytes, piece.offset)
        for piece in layout.pieces
        if piece.name in names
    }
