"""Reads images with a recogniser from elsewhere, or with what was made of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hcompress.data.given import check_several
from hcompress.foreign.frames import Frames
from hcompress.foreign.options import AS_FOUND, ImportOptions
from hcompress.foreign.spec import open_spec, runnable
from hcompress.formats.open import ModelFile, open_file
from hcompress.runtime.look import judged, look
from hcompress.runtime.only import MOST_RESTRICTIONS, Only, allowed, key_of
from hcompress.runtime.reading import Candidate, Reading, remarked, surely
from hcompress.spec.config import CANDIDATES
from hcompress.spec.exported import ONNX_FILE
from hcompress.strict.files import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.data.given import Images
    from hcompress.foreign.frames import Line
    from hcompress.spec.foreign import ForeignSpec


class ForeignReader:
    """A foreign recogniser in an ONNX file, opened or not, or in a folder with a `model.onnx`, or
    in a checkpoint that is known.

    The file runs as it is; of a file made here, what it means is in its header. Images keep their
    aspect, and only those that come out equally wide run together: no text hangs on who is beside
    it. Any number of threads may share a reader.

    ``only``, ``min_confidence`` and ``providers``: as `OnnxReader` has them. All classes but those
    asked for and the blank are left out before a frame's best is chosen. Frames that are blank for
    that alone count towards the confidence, and a remark says how many there are; of a graph that
    answers ids alone, all frames that have another are.

    ``spec``: what is known of it from elsewhere; nothing is looked for then. Raises as
    `hcompress.foreign.open.open_foreign`.
    """

    def __init__(
        self,
        source: Path | ModelFile,
        threads: int = 1,
        options: ImportOptions = AS_FOUND,
        spec: ForeignSpec | None = None,
        *,
        only: Only = None,
        min_confidence: float = 0.0,
        providers: Sequence[str] = (),
    ) -> None:
        opened = open_file(source, ONNX_FILE, "ONNX file")
        self.spec: ForeignSpec = open_spec(opened, options) if spec is None else spec
        self.frames: Frames = Frames(
            runnable(opened), self.spec, threads, shown(opened.path), providers
        )
        """The graph: its answers as they come, and each frame's best class."""
        self._masks: dict[tuple[str, ...], NDArray[np.bool_]] = {}
        self._only, self._least = only, min_confidence
        self._mask(only)

    @property
    def characters(self) -> tuple[str, ...]:
        """What it can answer."""
        return self.spec.characters

    def read(
        self, images: Images, *, only: Only = None, min_confidence: float | None = None
    ) -> list[Reading]:
        """A reading for each image, in any form that `OnnxReader.read` takes.

        The confidence is the product over the frames that stand for a character, 1 for an empty
        text of a blank image: RapidOCR and PaddleOCR say the mean over the same frames. A graph
        that answers ids alone is sure of all that it answers.
        """
        check_several(images)
        least = self._least if min_confidence is None else min_confidence
        return [surely(reading, least) for _, reading in self.lines(images, CANDIDATES, only)]

    def lines(self, images: Images, k: int = 1, only: Only = None) -> list[tuple[Line, Reading]]:
        """The frames of each image, wide margins trimmed, and its reading with k candidates."""
        seen = [look(image) for image in images]
        mask = self._mask(self._only if only is None else only)
        lines = self.frames.lines([one.picture for one in seen], k, mask)
        return [
            (line, judged(self._reading(line), one)) for line, one in zip(lines, seen, strict=True)
        ]

    def _mask(self, only: Only) -> NDArray[np.bool_] | None:
        """[V]: the classes that ``only`` names, and the blank."""
        key = key_of(only)
        if key is None:
            return None
        found = self._masks.get(key)
        if found is None:
            spec = self.spec
            texts = ["" if i in spec.dropped else one for i, one in enumerate(spec.classes)]
            found = allowed(texts, key)
            found[spec.blank] = True
            if len(self._masks) >= MOST_RESTRICTIONS:
                self._masks = {}  # another one: threads may be looking at this
            self._masks[key] = found
        return found

    def _reading(self, line: Line) -> Reading:
        classes = self.spec.classes
        text = "".join(classes[i] for i in line.ids[list(line.kept)].tolist())
        confidence = math.prod(line.probabilities[list(line.kept)].tolist()) * line.beside
        candidates = [
            [
                Candidate(character=classes[i] or "<blank>", confidence=chance)
                for i, chance in zip(ids, chances, strict=True)
            ]
            for ids, chances in zip(line.candidates.tolist(), line.chances.tolist(), strict=True)
        ]
        reading = Reading(text, min(max(confidence, 0.0), 1.0), candidates)
        if not line.lost:
            return reading
        places = f"{line.lost} frame{'s' if line.lost > 1 else ''}"
        said = f"left out what is likelier than all that is asked for, at {places}"
        return remarked(reading, said)
