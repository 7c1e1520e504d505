"""Reads images with a recogniser from elsewhere, or with what was made of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hcompress.foreign.frames import Frames
from hcompress.foreign.options import AS_FOUND, ImportOptions
from hcompress.foreign.spec import open_spec, runnable
from hcompress.formats.open import ModelFile, open_file
from hcompress.runtime.look import judged, look
from hcompress.runtime.reading import Candidate, Reading
from hcompress.spec.config import CANDIDATES
from hcompress.spec.exported import ONNX_FILE
from hcompress.strict.files import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.foreign.frames import Line
    from hcompress.spec.foreign import ForeignSpec


class ForeignReader:
    """A foreign recogniser in an ONNX file, opened or not, or in a folder with a `model.onnx`, or
    in a checkpoint that is known.

    The file runs as it is; of a file made here, what it means is in its header. Images keep their
    aspect, and only those that come out equally wide run together: no text hangs on who is beside
    it. Any number of threads may share a reader.

    ``spec``: what is known of it from elsewhere; nothing is looked for then. Raises as
    `hcompress.foreign.open.open_foreign`.
    """

    def __init__(
        self,
        source: Path | ModelFile,
        threads: int = 1,
        options: ImportOptions = AS_FOUND,
        spec: ForeignSpec | None = None,
    ) -> None:
        opened = open_file(source, ONNX_FILE, "ONNX file")
        self.spec: ForeignSpec = open_spec(opened, options) if spec is None else spec
        self.frames: Frames = Frames(runnable(opened), self.spec, threads, shown(opened.path))
        """The graph: its answers as they come, and each frame's best class."""

    @property
    def characters(self) -> tuple[str, ...]:
        """What it can answer."""
        return self.spec.characters

    def read(self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> list[Reading]:
        """A reading for each RGB image, h x w x 3 of any size, or [N, H, W, 3].

        The confidence is the product over the frames that stand for a character, 1 for an empty
        text of a blank image: RapidOCR and PaddleOCR say the mean over the same frames. A graph
        that answers ids alone is sure of all that it answers.
        """
        return [reading for _, reading in self.lines(images, CANDIDATES)]

    def lines(
        self, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], k: int = 1
    ) -> list[tuple[Line, Reading]]:
        """The frames of each image, wide margins trimmed, and its reading with k candidates."""
        seen = [look(image) for image in images]
        lines = self.frames.lines([one.picture for one in seen], k)
        return [
            (line, judged(self._reading(line), one)) for line, one in zip(lines, seen, strict=True)
        ]

    def _reading(self, line: Line) -> Reading:
        classes = self.spec.classes
        text = "".join(classes[i] for i in line.ids[list(line.kept)].tolist())
        confidence = math.prod(line.probabilities[list(line.kept)].tolist())
        candidates = [
            [
                Candidate(character=classes[i] or "<blank>", confidence=chance)
                for i, chance in zip(ids, chances, strict=True)
            ]
            for ids, chances in zip(line.candidates.tolist(), line.chances.tolist(), strict=True)
        ]
        return Reading(text, min(max(confidence, 0.0), 1.0), candidates)
