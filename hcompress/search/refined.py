"""The second look at the nearest codes: how sure each bit is, which its sign does not tell.

N queries, V vocabulary, K code length, k candidates.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hcompress.search.answers import Ranked


def refined(
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
    bits = np.unpackbits(packed[ranked.ids], axis=-1, bitorder="little")  # [N, k, K]
    signs = bits.astype(np.float32) * 2 - 1
    agreement = (signs * bit_logits[:, None]).sum(-1, dtype=np.float32)
    weights = np.exp((agreement - agreement.max(1, keepdims=True)) / (2 * temperature))
    whole = ranked.probabilities.sum(1, keepdims=True)
    shared = (whole * weights / weights.sum(1, keepdims=True)).astype(np.float32)
    order = np.argsort(-agreement, axis=1, kind="stable")
    return Ranked(*(np.take_along_axis(part, order, 1) for part in (*ranked[:2], shared)))
