"""The search alone: ours, faiss's, and the machine's own limit, on the same queries.

n queries, V codes, K = code length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hcompress.lab.bench.timing import Effort, figures, interleave
from hcompress.search import CodeIndex
from hcompress.search.backend import NUMPY

Codes = NDArray[np.uint8]
NAMES: Final = ("native", "faiss", "limit", "reading", "arithmetic")
PAIRS: Final = (("faiss", "native"), ("native", "limit"))
FLIPPED: Final = 0.1
"""Of a query's bits: what a code's own reading gets wrong."""


def has_faiss() -> bool:
    """Whether it, and all that it needs, can be imported."""
    try:
        from faiss import IndexBinaryFlat
    except ImportError:
        return False
    return callable(IndexBinaryFlat)


def search_row(codes: Codes, count: int, effort: Effort) -> dict[str, Any]:
    """Microseconds a query, k = 1, for ``count`` queries at once. codes [V, K/8].

    ``limit_us`` is the slower of two things no search can leave out: reading the laid-out
    codebook (once for all queries), and the arithmetic, in registers. None where numpy searches.
    """
    index = CodeIndex(codes)
    contenders: dict[str, Callable[[Codes], object]] = {"native": index.nearest}
    if has_faiss():
        contenders["faiss"] = faiss_search(codes)
    pair = max(2, count)  # the arithmetic goes two queries at a time
    if index.instruction_set != NUMPY:
        contenders["reading"] = lambda _: index.reach_limit()
        contenders["arithmetic"] = lambda _: index.reach_limit(pair)
    times = interleave(contenders, fresh_queries(codes, count), effort)
    if "arithmetic" in times:
        times["arithmetic"] = [seconds * count / pair for seconds in times["arithmetic"]]
        # The one whose fastest round is slower, whole: rounds stay pairs.
        times["limit"] = max(times["reading"], times["arithmetic"], key=min)
    return {"n": count, **figures(times, NAMES, "us", 1e6 / count, PAIRS)}


def faiss_search(codes: Codes) -> Callable[[Codes], object]:
    """IndexBinaryFlat on one thread."""
    import faiss

    faiss.omp_set_num_threads(1)
    flat = faiss.IndexBinaryFlat(codes.shape[1] * 8)
    flat.add(codes)
    return lambda queries: flat.search(queries, 1)


def random_codes(vocabulary: int, code_length: int, seed: int = 0) -> Codes:
    """[V, K/8]."""
    shape = (vocabulary, code_length // 8)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def fresh_queries(codes: Codes, count: int, seed: int = 1) -> Callable[[], Codes]:
    """At every call ``count`` codes picked by chance, with some of their bits flipped."""
    random = np.random.default_rng(seed)

    def fresh() -> Codes:
        picked = codes[random.integers(0, len(codes), count)]
        bits = random.random((count, codes.shape[1] * 8), np.float32) < FLIPPED
        return picked ^ np.packbits(bits, axis=1, bitorder="little")

    return fresh
