"""Heads that are searched outside of the graph, by what the machine is best at. Torch-free."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from hcompress.errors import NumericalError
from hcompress.spec.heads import CODEBOOK, Hamming

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.search.answers import Ranked
    from hcompress.spec.config import RecogniserConfig


class Ranker(Protocol):
    """Ranks the logits of a step."""

    width: int
    """K: what the graph gives for each line."""

    def rank(self, logits: NDArray[np.float32], kept: int, threads: int, where: str) -> Ranked:
        """logits [N, K] -> the best ids and their probabilities [N, k].

        Raises NumericalError, naming ``where``, if a logit is not finite.
        """
        ...

    def restricted(self, mask: NDArray[np.bool_]) -> Ranker:
        """One that answers the ids in ``mask`` [V] alone; fewer than ``kept`` if it has no more."""
        ...


class CodeRanker:
    """The native search for the nearest codes, and the second look of a reranking head."""

    def __init__(self, spec: Hamming, config: RecogniserConfig, packed: NDArray[np.uint8]) -> None:
        from hcompress.search import CodeIndex

        first = config.transcription.first_answer
        self.width = spec.length
        self._spec, self._temperature, self._packed = spec, config.temperature, packed
        self._index = CodeIndex(packed, readable_from=first)
        self._some: tuple[NDArray[np.int64], CodeIndex] | None = None
        """The ids that may be answered, and their codes; None: all."""

    def rank(self, logits: NDArray[np.float32], kept: int, threads: int, where: str) -> Ranked:
        import numpy as np

        from hcompress.search import pack_signs

        # A NaN bit has a sign like any other: no distance would show it.
        if not bool(np.isfinite(logits).all()):
            raise NumericalError(f"{where}: answers NaN or infinite bits: export it again")
        return self._again(self._ranked(pack_signs(logits), kept, threads), logits)

    def _ranked(self, signs: NDArray[np.uint8], kept: int, threads: int) -> Ranked:
        if self._some is None:
            return self._index.rank(signs, kept, self._temperature, threads)
        import numpy as np

        from hcompress.search.answers import Ranked

        ids, index = self._some
        best = self._index.rank(signs, 1, self._temperature, threads)
        near = index.nearest(signs, min(kept, len(ids)), threads)
        with np.errstate(under="ignore"):
            shares = np.exp((best.distances - near.distances) / self._temperature)
        chances = (best.probabilities * shares).astype(np.float32)
        return Ranked(ids[near.ids], near.distances, chances)

    def _again(self, found: Ranked, logits: NDArray[np.float32]) -> Ranked:
        """The second look."""
        if not self._spec.rerank:
            return found
        from hcompress.heads.hamming.rerank import reranked

        return reranked(found, self._packed, logits, self._temperature)

    def restricted(self, mask: NDArray[np.bool_]) -> CodeRanker:
        """That of the ids in ``mask`` [V] alone; their probabilities are those among all."""
        import numpy as np

        from hcompress.search import CodeIndex

        able = np.arange(len(mask)) >= self._index.readable_from
        ids = np.flatnonzero(mask & able)
        other = copy.copy(self)
        other._some = ids, CodeIndex(np.ascontiguousarray(self._packed[ids]))
        return other


def native_ranker(
    config: RecogniserConfig, tables: Mapping[str, NDArray[np.uint8]]
) -> Ranker | None:
    """What ranks for this head, given the packed tables of its file; None if the graph does."""
    if isinstance(config.head, Hamming):
        packed = tables[CODEBOOK].reshape(-1, config.head.length // 8)
        return CodeRanker(config.head, config, packed)
    return None
