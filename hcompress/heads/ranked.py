"""The best candidates of a step, as ONNX nodes that every head's graph ends in.

N lines, V = vocabulary, R = readable ids, k candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import TensorProto

from hcompress.heads.contract import Ranked, Setting
from hcompress.spec.config import CANDIDATES

if TYPE_CHECKING:
    from hcompress.onnx_writer.graph import Graph

FLOAT, FLOAT16, INT8, INT32, UINT8 = (
    TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.INT32, TensorProto.UINT8,
)  # fmt: skip


def kept_candidates(vocabulary: int, first_answer: int) -> int:
    """k: five, or all readable ids if there are fewer."""
    return min(CANDIDATES, vocabulary - first_answer)


def top(g: Graph, setting: Setting, scores: str) -> str:
    """Places [N, k] of the highest scores [N, R]; ONNX gives ties to the lowest."""
    kept = g.ints(kept_candidates(setting.vocabulary, setting.first_answer))
    return g.ops("TopK", scores, kept, outputs=2)[1]


def ranked(g: Graph, setting: Setting, places: str, scaled: str, logits: str | None) -> Ranked:
    """``scaled``: scores over the temperature, up to a constant, [N, R]."""
    chances = g.op("GatherElements", g.op("Softmax", scaled, axis=-1), places, axis=1)
    ids = g.op("Add", places, g.number(setting.first_answer, TensorProto.INT64))
    return Ranked(ids, chances, logits)
