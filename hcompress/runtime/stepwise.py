"""Greedy reading step by step: the encoder once, then a step per character.

N lines, T steps at most, k candidates, V = vocabulary, K = code length, H = heads, d = width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hcompress.compute.session import Session
from hcompress.errors import InputRefused
from hcompress.heads.native import Ranker
from hcompress.runtime.only import Restriction, among_candidates
from hcompress.runtime.partition import Split
from hcompress.spec.config import TransformerConfig

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


DROPPED = 0.25
"""Lines that have ended are left out of the next step once they are this share of it: leaving
them out copies what the others' steps need."""


class Steps:
    """Runs an export's own two graphs. Holds nothing of a batch: threads may share it.

    With a ``ranker`` the step gives its logits, and they are ranked beside it; else inside of the
    graph.
    """

    def __init__(
        self,
        cut: Split,
        config: TransformerConfig,
        ranker: Ranker | None,
        threads: int = 1,
        where: str = "the exported graph",
        providers: Sequence[str] = (),
    ) -> None:
        """``where`` is what errors call the file. ``providers``: as `Session` has them.

        Raises InputRefused where a step takes more than there is to give it.
        """
        self._cut, self._config, self._threads, self._where = cut, config, threads, where
        self._encoder = Session(cut.encoder, threads, where=where, providers=providers)
        self._step = Session(cut.step, threads, where=where, providers=providers)
        self._taken = tuple(self._step.inputs)
        if set(self._taken) - {*cut.crossed, *cut.caches, cut.turn, cut.last, cut.alive}:
            raise InputRefused(f"{where}: a step takes what it is not given: export it again")
        self.ranker = ranker
        """Who ranks beside the step; None if it ranks itself."""

    def decode(
        self, images: NDArray[np.uint8], kept: int, within: Restriction | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """uint8 [N, H, W, 3] -> ids and probabilities [N, T, k], as the file's own loop.

        ``kept`` is k. ``within``: what may be answered; each step is told what was, and where a
        step ranks itself and none of its k may be, its best one stands there all the same. Raises
        NumericalError for bit logits that are not finite.
        """
        import numpy as np

        count, limit = len(images), self._config.max_steps
        special = self._config.transcription
        ids = np.full((count, limit, kept), special.pad, np.int64)
        chances = np.ones((count, limit, kept), np.float32)
        lines = np.arange(count)
        feeds = self._start(images)
        for turn in range(limit):
            feeds[self._cut.turn] = np.array(turn, np.int64)
            best, chance, caches = self._next(feeds, kept, within)
            running = feeds[self._cut.alive][:, 0]
            ids[lines[running], turn] = best[running]
            chances[lines[running], turn] = chance[running]
            running = running & (best[:, 0] != special.eos)
            if not running.any():
                return ids[:, : turn + 1], chances[:, : turn + 1]
            feeds[self._cut.last] = np.ascontiguousarray(best[:, 0])
            feeds[self._cut.alive] = running[:, None]
            feeds.update(caches)
            if running.mean() <= 1 - DROPPED:
                lines, feeds = lines[running], _rows(feeds, running)
        return ids, chances

    def _start(self, images: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """What the first step takes."""
        import numpy as np

        cut, config, count = self._cut, self._config, len(images)
        crossed = self._encoder.run(list(cut.crossed), {cut.images: images})
        self._check_rows(crossed, count)
        empty = np.zeros((count, config.heads, 0, config.width // config.heads), np.float32)
        return {
            **dict(zip(cut.crossed, crossed, strict=True)),
            **dict.fromkeys(cut.caches, empty),
            cut.last: np.full(count, config.transcription.bos, np.int64),
            cut.alive: np.ones((count, 1), bool),
        }

    def _next(
        self, feeds: dict[str, NDArray[Any]], kept: int, within: Restriction | None
    ) -> tuple[NDArray[Any], NDArray[Any], dict[str, NDArray[Any]]]:
        """Candidates and probabilities [N, k] of one step, and the caches after it."""
        cut = self._cut
        taken = {name: feeds[name] for name in self._taken}
        count = len(taken[cut.last])
        answers = self._step.run([*cut.answers, *cut.written], taken)
        self._check_rows(answers, count)
        caches = dict(zip(cut.caches, answers[len(cut.answers) :], strict=True))
        ranker = within.ranker if within is not None and within.ranker else self.ranker
        if ranker is None:
            best, chance = answers[:2]
            kinds = best.dtype.kind + chance.dtype.kind
            if not best.shape == chance.shape == (count, kept) or kinds != "if":
                raise self._refused(f"{best.shape} and {chance.shape} candidates")
            if within is not None:
                chosen = among_candidates(best[:, None], chance[:, None], within.mask)
                best, chance = chosen.ids[:, 0], chosen.as_given[:, 0]
            return best, chance, caches
        logits = answers[0]
        if logits.shape != (count, ranker.width) or logits.dtype.kind != "f":
            raise self._refused(f"{logits.shape} bit logits")
        floats: NDArray[np.float32] = logits.astype("float32", copy=False)
        ranked = ranker.rank(floats, kept, self._threads, self._where)
        return ranked.ids, ranked.probabilities, caches

    def _check_rows(self, arrays: Sequence[NDArray[Any]], count: int) -> None:
        """Each has a row a line, but for numbers."""
        odd = next((a.shape for a in arrays if a.ndim and len(a) != count), None)
        if odd is not None:
            raise self._refused(f"{odd} for {count} lines")

    def _refused(self, what: str) -> InputRefused:
        return InputRefused(f"{self._where}: a step answers {what}: export it again")

    @property
    def inputs(self) -> dict[str, tuple[str, list[int | str | None]]]:
        """The images' type and shape, by name."""
        return self._encoder.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Those of the file."""
        return self._cut.outputs


def _rows(feeds: dict[str, NDArray[Any]], kept: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """Of what has a row a line, the rows of the lines kept."""
    return {name: array[kept] if array.ndim else array for name, array in feeds.items()}
