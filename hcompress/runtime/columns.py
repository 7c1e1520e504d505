"""Reading a graph without a loop whose codes are searched beside it.

N lines, T columns, k candidates, K = code length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hcompress.compute.session import Session
from hcompress.errors import InputRefused
from hcompress.heads.native import Ranker
from hcompress.runtime.only import Restriction
from hcompress.runtime.partition import Head
from hcompress.spec.exported import BIT_LOGITS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Columns:
    """Runs an export's graph up to its bit logits. Threads may share it."""

    def __init__(
        self,
        head: Head,
        ranker: Ranker,
        threads: int,
        where: str,
        providers: Sequence[str] = (),
    ) -> None:
        """``where`` is what errors call the file. ``providers``: as `Session` has them."""
        self._head, self._threads, self._where = head, threads, where
        self.ranker = ranker
        self._session = Session(head.model, threads, where=where, providers=providers)

    @property
    def inputs(self) -> dict[str, tuple[str, list[int | str | None]]]:
        """The images' type and shape, by name."""
        return self._session.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Those of the file."""
        return self._head.outputs

    def decode(
        self, images: NDArray[np.uint8], kept: int, within: Restriction | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """uint8 [N, H, W, 3] -> ids and probabilities [N, T, k], as the whole graph.

        ``kept`` is k. ``within``: what may be answered. Raises NumericalError for bit
        logits that are not finite.
        """
        (logits,) = self._session.run([BIT_LOGITS], {"images": images})
        ranker = within.ranker if within is not None and within.ranker else self.ranker
        width, count = ranker.width, len(images)
        if logits.ndim != 2 or logits.shape[1] != width or len(logits) % count:
            raise InputRefused(
                f"{self._where}: answers {logits.shape} bit logits for {count} lines: export it"
                " again"
            )
        floats: NDArray[np.float32] = logits.astype("float32", copy=False)
        found = ranker.rank(floats, kept, self._threads, self._where)
        shape = count, len(logits) // count, kept
        return found.ids.reshape(shape), found.probabilities.reshape(shape)
