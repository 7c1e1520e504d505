"""A foreign recogniser that runs: images in, each frame's best class and its probability out.

N images, T frames, V classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hcompress.compute.session import Session
from hcompress.errors import InputRefused, NumericalError
from hcompress.foreign.inputs import batches
from hcompress.spec.exported import CONFIDENCE
from hcompress.spec.foreign import Answers, ForeignSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Images = Sequence[NDArray[np.uint8]] | NDArray[np.uint8]

MOST_AT_ONCE: Final = 16
"""Images in one run: more gains nothing on a CPU."""
MOST_SCORES: Final = 1 << 25
"""Numbers in one output: 128 MiB of float32."""
PIXELS_A_FRAME: Final = 4
"""No recogniser has more frames than a fourth of its width."""


@dataclass(frozen=True)
class Line:
    """What came out for one image."""

    ids: NDArray[np.int64]
    """[T], the best class of each frame."""
    probabilities: NDArray[np.float32]
    """[T], the best class's; 1 if the graph answers ids alone."""
    kept: tuple[int, ...]
    """The frames that stand for a character."""
    candidates: NDArray[np.int64]
    """[kept frames, k], best first."""
    chances: NDArray[np.float32]
    """[kept frames, k], the candidates' probabilities."""
    lost: int = 0
    """Frames that are read as blank because what stands there may not be answered."""
    beside: float = 1.0
    """How likely they are blank, all of them."""


class Frames:
    """The graph in one session of onnxruntime. Any number of threads may share it.

    Raises InputRefused if it can't be loaded, or is not of the kind that the spec says.
    """

    def __init__(
        self,
        model: Path | bytes,
        spec: ForeignSpec,
        threads: int = 1,
        where: str = "the graph",
        providers: Sequence[str] = (),
    ) -> None:
        self.spec = spec
        self._where = str(model) if isinstance(model, Path) else where
        self._session = Session(model, threads, where=self._where, providers=providers)
        self._output = next(iter(self._session.outputs))
        inputs = list(self._session.inputs)
        if len(inputs) != 1:
            raise InputRefused(f"{self._where}: takes {len(inputs)} inputs, not one")
        self._input = inputs[0]

    def outputs(self, images: Images) -> Iterator[tuple[list[int], NDArray[np.generic]]]:
        """Places of images, and what the graph answers: [N, T, V], or ids [N, T].

        Images h x w x 3 of any size, RGB; those of one width come together. Raises InputRefused
        if the answer has another shape, NumericalError for NaN.
        """
        for places, inputs in batches(images, self.spec.image, self._most(images)):
            yield places, self.run(inputs)

    def run(self, inputs: NDArray[np.float32]) -> NDArray[np.generic]:
        """float [N, C, H, W] -> [N, T, V], or ids [N, T]. Raises as `outputs`."""
        return self._checked(self._session.run([self._output], {self._input: inputs})[0], inputs)

    def _both(
        self, inputs: NDArray[np.float32]
    ) -> tuple[NDArray[np.generic], NDArray[np.float32] | None]:
        """As `run`, and of a graph that says how sure it is of its ids that, [N, T]."""
        if self.spec.answers is not Answers.IDS or CONFIDENCE not in self._session.outputs:
            return self.run(inputs), None
        named = [self._output, CONFIDENCE]
        found, sure = self._session.run(named, {self._input: inputs})
        ids = self._checked(found, inputs)
        if sure.shape != found.shape or sure.dtype != np.float32:
            raise self._refused(sure.shape)
        made = np.clip(sure.swapaxes(0, 1) if self.spec.time_first else sure, 0, 1)
        return ids, made.astype(np.float32)

    def _checked(
        self, answer: NDArray[np.generic], inputs: NDArray[np.float32]
    ) -> NDArray[np.generic]:
        """[N, T, V], or ids [N, T]."""
        ids = self.spec.answers is Answers.IDS
        if ids and answer.ndim == 3 and answer.shape[2] == 1:  # ArgMax with keepdims
            answer = answer[:, :, 0]
        if answer.ndim != (2 if ids else 3) or (
            not ids and answer.shape[-1] != len(self.spec.classes)
        ):
            raise self._refused(answer.shape)
        if self.spec.time_first:
            answer = answer.swapaxes(0, 1)
        if len(answer) != len(inputs):
            raise self._refused(answer.shape)
        if not ids and bool(np.isnan(answer).any()):
            raise NumericalError(f"{self._where}: answers NaN: its weights are damaged")
        return answer

    def lines(
        self, images: Images, k: int = 1, mask: NDArray[np.bool_] | None = None
    ) -> list[Line]:
        """A line for each image. ``mask`` [V]: the classes that may be answered, the blank among
        them. Raises as `outputs`."""
        found: dict[int, Line] = {}
        for places, inputs in batches(images, self.spec.image, self._most(images)):
            answers, sure = self._both(inputs)
            for row, place in enumerate(places):
                certain = None if sure is None else sure[row]
                found[place] = self._line(answers[row], k, certain, mask)
        return [found[place] for place in range(len(found))]

    def frames(self, images: Images) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float32]]]:
        """For each image the best class of each frame, [T], and its probability, [T]."""
        lines = self.lines(images)
        return [line.ids for line in lines], [line.probabilities for line in lines]

    def _most(self, images: Images) -> int:
        """Images at once, by the widest of them."""
        height = self.spec.image.height
        widest = max((one.shape[1] * height // max(one.shape[0], 1) for one in images), default=1)
        frames = max(widest, self.spec.image.minimum_width, 1) // PIXELS_A_FRAME + 1
        return min(MOST_AT_ONCE, max(1, MOST_SCORES // (frames * len(self.spec.classes))))

    def _line(
        self,
        answer: NDArray[np.generic],
        k: int,
        sure: NDArray[np.float32] | None = None,
        mask: NDArray[np.bool_] | None = None,
    ) -> Line:
        if self.spec.answers is Answers.IDS:
            return self._of_ids(answer.astype(np.int64), sure, mask)
        whole = answer.astype(np.float32, copy=False)
        scores = whole if mask is None else np.where(mask, whole, np.float32(-np.inf))
        ids = scores.argmax(1).astype(np.int64)
        best = np.take_along_axis(scores, ids[:, None], 1)[:, 0]
        kept = tuple(self.spec.kept(ids.tolist()))
        rows = scores[list(kept)]
        count = scores.shape[1] if mask is None else int(mask.sum())
        order = _top(rows, min(k, count))
        chances = np.take_along_axis(rows, order, 1)
        sure_of, shares = self._chances(whole, best, chances, list(kept))
        if mask is None:
            return Line(ids, sure_of, kept, order, shares)
        forced = (ids == self.spec.blank) & (whole.argmax(1) != ids)
        beside = float(sure_of[forced].astype(np.float64).prod())
        return Line(ids, sure_of, kept, order, shares, int(forced.sum()), beside)

    def _chances(
        self,
        scores: NDArray[np.float32],
        best: NDArray[np.float32],
        chosen: NDArray[np.float32],
        kept: list[int],
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores of all classes, each frame's best and the kept frames' candidates: the last two
        as probabilities among all classes, what may not be answered included."""
        if self.spec.answers is Answers.PROBABILITIES:
            return best, chosen
        if self.spec.answers is Answers.LOG_PROBABILITIES:
            return np.exp(best), np.exp(chosen)
        most = scores.max(1)
        weight = np.exp(scores - most[:, None]).sum(1)
        shares = np.exp(chosen - most[kept, None]) / weight[kept, None]
        return np.exp(best - most) / weight, shares

    def _of_ids(
        self,
        ids: NDArray[np.int64],
        sure: NDArray[np.float32] | None,
        mask: NDArray[np.bool_] | None = None,
    ) -> Line:
        """Nothing is known but the best, and perhaps how sure."""
        if ids.min(initial=0) < 0 or ids.max(initial=0) >= len(self.spec.classes):
            raise InputRefused(f"{self._where}: answers a class that it has not")
        chances = np.ones(ids.shape, np.float32) if sure is None else sure
        lost, beside = 0, 1.0
        if mask is not None:
            barred = ~mask[ids]
            lost, beside = int(barred.sum()), float((1 - chances[barred]).prod())
            ids = np.where(barred, self.spec.blank, ids)
        kept = tuple(self.spec.kept(ids.tolist()))
        return Line(
            ids, chances, kept, ids[list(kept), None], chances[list(kept), None], lost, beside
        )

    def _refused(self, shape: Sequence[int]) -> InputRefused:
        return InputRefused(
            f"{self._where}: answers {tuple(shape)} where frames of"
            f" {len(self.spec.classes):,} classes are expected"
        )


def _top(rows: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """[n, V] -> the k best of each row, best first; of equals the lowest."""
    if k >= rows.shape[1]:
        return np.argsort(-rows, 1, kind="stable").astype(np.int64)
    chosen = np.sort(np.argpartition(-rows, k, 1)[:, :k], 1)
    scores = np.take_along_axis(rows, chosen, 1)
    order = np.argsort(-scores, 1, kind="stable")
    return np.take_along_axis(chosen, order, 1).astype(np.int64)
