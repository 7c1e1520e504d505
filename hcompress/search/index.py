"""The nearest codes of a codebook. V vocabulary, K code length, N queries, k candidates."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hcompress.search import backend, reference
from hcompress.search.answers import Found, Ranked
from hcompress.search.backend import NUMPY

T = TypeVar("T", np.uint8, np.float32)
WIDEST = 65528
"""The longest code, in bits: a distance is kept in 16."""
ALIGNMENT = 64
"""Bytes: a cache line."""
FEWEST = 64
"""Queries a thread must have: fewer take less time than starting it."""
NEGLIGIBLE = 1e-7
"""What all far codes left out may weigh together, where the nearest weighs 1: float32's grain."""


class CodeIndex:
    """A codebook, laid out once for searching; any number of threads may search it at once."""

    def __init__(
        self,
        packed: NDArray[np.uint8],
        readable_from: int = 0,
        instruction_set: str | None = None,
    ) -> None:
        """packed [V, K/8]. Ids below ``readable_from`` (PAD, BOS) are never found.

        ``instruction_set`` is one of `instruction_sets()`; None takes the fastest. Raises
        ValueError.
        """
        codes = _matrix(packed, np.uint8, "codes", "[V, K/8]")
        if not 1 <= codes.shape[1] * 8 <= WIDEST:
            raise ValueError(f"codes have {codes.shape[1] * 8} bits: 8 to {WIDEST} are possible")
        if not 0 <= readable_from < len(codes):
            raise ValueError(f"readable_from {readable_from} leaves none of {len(codes)} codes")
        self.instruction_set = backend.chosen(instruction_set)
        self.code_length = codes.shape[1] * 8
        self.readable_from = readable_from
        self._width = codes.shape[1]
        self._count = len(codes) - readable_from
        self._weights: tuple[float, NDArray[np.float64], int] | None = None
        readable = codes[readable_from:]
        if backend.native is None or self.instruction_set == NUMPY:
            self._words = reference.as_words(readable)
            return
        size = backend.native.layout_bytes(self.instruction_set, self._count, self._width)
        room = np.empty(size + ALIGNMENT, np.uint8)
        start = -room.ctypes.data % ALIGNMENT
        self._blocks = room[start : start + size]
        backend.native.lay_out(
            self.instruction_set, readable, self._count, self._width, self._blocks
        )

    def __len__(self) -> int:
        """V, the unreadable ids included."""
        return self._count + self.readable_from

    def nearest(self, queries: NDArray[np.uint8], k: int = 1, threads: int = 1) -> Found:
        """Packed queries [N, K/8] -> the nearest readable codes.

        More ``threads`` help from some hundred queries on; the answer is the same. Raises
        ValueError.
        """
        asked = self._checked(queries, k)
        count = len(asked)
        ids, distances = np.empty((count, k), np.int64), np.empty((count, k), np.int32)

        def search(rows: slice) -> None:
            if backend.native is None or self.instruction_set == NUMPY:
                found = reference.nearest(self._words, reference.as_words(asked[rows]), k)
                ids[rows], distances[rows] = found.ids + self.readable_from, found.distances
                return
            mine = asked[rows]
            backend.native.nearest(
                self.instruction_set, self._blocks, self._count, self._width,
                self.readable_from, mine, len(mine), k, ids[rows], distances[rows],
            )  # fmt: skip

        _in_threads(search, count, threads)
        return Found(ids, distances)

    def rank(
        self, queries: NDArray[np.uint8], k: int, temperature: float, threads: int = 1
    ) -> Ranked:
        """As `nearest`, with each candidate's probability: the recogniser's confidence.

        The same bits for every instruction set, number of threads and batch; numpy's may
        differ in the last one. Raises ValueError.
        """
        asked = self._checked(queries, k)
        weights, window = self._weighing(temperature)
        count = len(asked)
        ids, distances = np.empty((count, k), np.int64), np.empty((count, k), np.int32)
        probabilities = np.empty((count, k), np.float32)

        def search(rows: slice) -> None:
            if backend.native is None or self.instruction_set == NUMPY:
                ranked = reference.rank(self._words, reference.as_words(asked[rows]), k, weights)
                ids[rows], distances[rows] = ranked.ids + self.readable_from, ranked.distances
                probabilities[rows] = ranked.probabilities
                return
            mine = asked[rows]
            backend.native.rank(
                self.instruction_set, self._blocks, self._count, self._width,
                self.readable_from, mine, len(mine), k, ids[rows], distances[rows],
                probabilities[rows], weights, window,
            )  # fmt: skip

        _in_threads(search, count, threads)
        return Ranked(ids, distances, probabilities)

    def reach_limit(self, queries: int = 0) -> None:
        """What no search can be faster than, for a benchmark to time.

        Without ``queries`` it reads the laid-out codebook once; with them it does that many
        queries' arithmetic in registers. Raises ValueError where numpy searches.
        """
        if backend.native is None or self.instruction_set == NUMPY:
            raise ValueError("the limits are known for native instruction sets alone")
        backend.native.limit(self.instruction_set, self._blocks, queries)

    def _checked(self, queries: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
        asked = _matrix(queries, np.uint8, "queries", "[N, K/8]")
        if asked.shape[1] != self._width:
            raise ValueError(
                f"queries have {asked.shape[1] * 8} bits, the codes {self.code_length}"
            )
        if not 1 <= k <= self._count:
            raise ValueError(f"k is {k}: 1 to {self._count} candidates are possible")
        return asked

    def _weighing(self, temperature: float) -> tuple[NDArray[np.float64], int]:
        """exp(-x / temperature) of x = 0 ... K, and the x beyond which none of it matters."""
        known = self._weights
        if known is None or known[0] != temperature:
            if not (math.isfinite(temperature) and temperature > 0):
                raise ValueError(f"temperature is {temperature}: it must be above 0")
            with np.errstate(under="ignore", over="ignore"):
                weights = np.exp(-np.arange(self.code_length + 1) / temperature)
            far = math.log(self._count / NEGLIGIBLE) * temperature
            known = (temperature, weights, math.ceil(min(far, self.code_length)))
            # One assignment: another thread sees the old table or the new, never half of each.
            self._weights = known
        return known[1:]


def pack_signs(
    bit_logits: NDArray[np.float32], instruction_set: str | None = None
) -> NDArray[np.uint8]:
    """Bit logits [N, K] -> packed codes [N, K/8]: 1 where a logit is >= 0. Raises ValueError."""
    logits = _matrix(bit_logits, np.float32, "bit logits", "[N, K]")
    if logits.shape[1] % 8:
        raise ValueError(f"{logits.shape[1]} bit logits are no multiple of 8")
    chosen = backend.chosen(instruction_set)
    if backend.native is None or chosen == NUMPY:
        return reference.pack_signs(logits)
    packed = np.empty((len(logits), logits.shape[1] // 8), np.uint8)
    backend.native.pack_signs(chosen, logits, packed)
    return packed


def _matrix(array: NDArray[T], kind: type[T], name: str, axes: str) -> NDArray[T]:
    """The array in one aligned piece, copied where it is not. Raises ValueError."""
    if not isinstance(array, np.ndarray) or array.dtype != kind or array.ndim != 2:
        given = type(array).__name__
        if isinstance(array, np.ndarray):
            given = f"{array.dtype} {list(array.shape)}"
        raise ValueError(f"{name} must be {np.dtype(kind)} {axes}, not {given}")
    flags = array.flags
    if flags.c_contiguous and flags.aligned:
        return array
    return np.require(array, requirements=("C", "A"))


def _in_threads(search: Callable[[slice], None], count: int, threads: int) -> None:
    """Search all rows, cut into one piece a thread. Raises ValueError."""
    if threads < 1:
        raise ValueError(f"threads is {threads}: at least 1 is needed")
    pieces = max(1, min(threads, count // FEWEST))
    if pieces == 1:
        search(slice(0, count))
        return
    cuts = [count * piece // pieces for piece in range(pieces + 1)]
    with ThreadPoolExecutor(pieces) as pool:
        list(pool.map(search, [slice(*cut) for cut in pairwise(cuts)]))
