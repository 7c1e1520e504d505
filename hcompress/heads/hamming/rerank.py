"""The second look at the nearest codes: how sure each bit is, which its sign does not tell.

N queries, V vocabulary, K code length, k candidates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hcompress.search.answers import Ranked


def reranked(
    ranked: Ranked,
    packed: NDArray[np.uint8],
    bit_logits: NDArray[np.float32],
    temperature: float,
) -> Ranked:
    """The candidates in the order of their agreement with the bit logits, best first.

    Agreement is the sum of the bit logits, each with the code's sign; the candidates share the
    probability they have together by a softmax of it over twice the temperature, as a distance
    counts the bits that differ once and agreement moves by two. packed [V, K/8], bit_logits
    [N, K].
    """
    signs = np.unpackbits(packed[ranked.ids], axis=-1, bitorder="little").astype(np.float32)
    signs *= 2
    signs -= 1
    agreement = (signs @ bit_logits[:, :, None])[:, :, 0]
    rows, order = np.arange(len(agreement))[:, None], np.argsort(-agreement, axis=1, kind="stable")
    agreement = agreement[rows, order]
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # NaN is for the caller
        shares = np.exp((agreement - agreement[:, :1]) / (2 * temperature))
        shares *= ranked.probabilities.sum(1, keepdims=True) / shares.sum(1, keepdims=True)
    return Ranked(ranked.ids[rows, order], ranked.distances[rows, order], shares)
