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
from hcompress.runtime.only import MOST_RESTRICTIONS, Only, Restriction, key_of, of_vocabulary
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

    from hcompress.data.given import Images


class OnnxReader:
    """The recogniser in an ONNX file, opened or not, or in a folder that holds a `model.onnx`.

    With ``steps`` it is read step by step, with the native search beside the decoder where the
    classifier is a Hamming one; of a CTC recogniser's columns all at once. Without, or where the
    file is of an older export, the file runs as it is, its own loop included, as in any ONNX
    Runtime: the same readings. None takes the faster of the two, which for a softmax classifier is
    the loop, unless ``only`` is given. Any number of threads may share a reader.

    ``only``, characters or names of `hcompress.runtime.only.CLASSES`, restricts every reading, and
    so does the one that `read` is given instead: exactly where the classifier is a Hamming one that
    is searched here; elsewhere among the candidates that the graph keeps of each step, with a
    remark where none of them is left. Confidences stay those among all characters. A reading less
    sure than ``min_confidence`` has no text, and a remark. ``providers``: what onnxruntime runs on,
    such as `cuda`; the CPU if none are given.

    Raises UsageError where there is none, and for an ``only`` of nothing that it answers;
    EnvironmentFailed for a provider that is not here; InputRefused where the file is damaged,
    points outside its folder, has no hcompress metadata, or does not match it; NumericalError where
    a weight is NaN or infinite.
    """

    def __init__(
        self,
        source: Path | ModelFile,
        threads: int = 1,
        *,
        steps: bool | None = None,
        only: Only = None,
        min_confidence: float = 0.0,
        providers: Sequence[str] = (),
    ) -> None:
        opened = open_file(source, ONNX_FILE, "ONNX file")
        self.metadata = read_header(opened)
        check_turns(opened.layout, self.config.max_steps)
        check_tensors(opened.layout, self.config, len(self.vocabulary))
        self._file = opened.path
        if steps is None:
            steps = self.config.head.searched or only is not None
        part = _steps(opened, self.config, threads, providers) if steps else None
        sizes = {HEIGHT: self.preprocessing.height}
        self._decoder = part or Loop(self._file, threads, sizes, providers)
        self._check_ends()
        self._restrictions: dict[tuple[str, ...], Restriction] = {}
        self._only, self._least = only, min_confidence
        self._within(only)

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

    def read(
        self, images: Images, *, only: Only = None, min_confidence: float | None = None
    ) -> list[Reading]:
        """A reading for each image: an RGB array h x w x 3 of any size, uint8 or floats from 0 to
        1, an image of Pillow's, a file's bytes or a path; or [N, H, W, 3].

        ``only`` and ``min_confidence`` take the place of the reader's own. A line too long for the
        input is read in pieces: see `hcompress.runtime.long_lines`. Raises ValueError for an array
        that is no image, InputRefused and UsageError for files.
        """
        within = self._within(self._only if only is None else only)
        mask = None if within is None else within.mask
        least = self._least if min_confidence is None else min_confidence

        def decode(fitted: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            return self.decode(fitted, within)

        return list(read_lines(images, self.preprocessing, decode, self.vocabulary, mask, least))

    def _within(self, only: Only) -> Restriction | None:
        """What ``only`` comes to here; remembered, since a codebook is laid out for it."""
        key = key_of(only)
        if key is None:
            return None
        found = self._restrictions.get(key)
        if found is None:
            mask = of_vocabulary(self.vocabulary, key)
            ranker = None if isinstance(self._decoder, Loop) else self._decoder.ranker
            found = Restriction(mask, None if ranker is None else ranker.restricted(mask))
            if len(self._restrictions) >= MOST_RESTRICTIONS:
                self._restrictions = {}  # another one: threads may be looking at this
            self._restrictions[key] = found
        return found

    def decode(
        self, images: NDArray[np.uint8], within: Restriction | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """uint8 [N, H, W, 3] -> ids [N, T, k], best first, and probabilities [N, T, k].

        T is the longest line's steps. After a line's EOS its ids are PAD, with probability 1.
        ``within`` restricts what can be answered, where that is not the graph's alone to say.
        Raises InputRefused where the graph answers anything else, NumericalError for NaN. The
        file's own loop gives no bit logits: where these are NaN, only the steps can tell.
        """
        kept = self._kept
        if within is not None and within.ranker is not None:
            first = self.config.transcription.first_answer
            kept = min(kept, int(within.mask[first:].sum()))
        ids, probabilities = self._decoder.decode(images, kept, within)
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

    def __init__(
        self,
        file: Path,
        threads: int,
        dimensions: Mapping[str, int],
        providers: Sequence[str] = (),
    ) -> None:
        self._session = Session(file, threads, dimensions, providers=providers)

    @property
    def inputs(self) -> dict[str, tuple[str, list[int | str | None]]]:
        return self._session.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(self._session.outputs)

    def decode(
        self, images: NDArray[np.uint8], _kept: int, _within: Restriction | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        ids, probabilities = self._session.run(["ids", "probabilities"], {"images": images})
        return ids, probabilities


def _steps(
    opened: ModelFile, config: RecogniserConfig, threads: int, providers: Sequence[str]
) -> Steps | Columns | None:
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
        return Columns(head, ranker, threads, str(layout.path), providers)
    if not isinstance(config, TransformerConfig):
        return None
    cut = split(data, layout.path)
    if cut is None or len(cut.caches) != 2 * config.depth:
        return None
    ranker = native_ranker(config, _packed(layout, data, config))
    return Steps(cut, config, ranker, threads, str(layout.path), providers)


def _packed(layout: Layout, data: bytes, config: RecogniserConfig) -> dict[str, NDArray[np.uint8]]:
    """The head's packed tables, by name, as bytes."""
    import numpy as np

    names = {name for name, stored in config.head_tensors(1).items() if stored.packed}
    return {
        piece.name: np.frombuffer(data, np.uint8, piece.bytes, piece.offset)
        for piece in layout.pieces
        if piece.name in names
    }
