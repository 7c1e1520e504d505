"""The best candidates of a step, as ONNX nodes that every head's graph ends in."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import TensorProto

from hcompress.charset import FIRST_READABLE
from hcompress.onnx_writer.graph import Graph
from hcompress.spec.config import CANDIDATES

FLOAT, FLOAT16, INT8, INT32, UINT8 = (
    TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.INT32, TensorProto.UINT8,
)  # fmt: skip


@dataclass(frozen=True)
class Ranked:
    """What a step answers."""

    ids: str
    """int64 [N, k]."""
    chances: str
    """float32 [N, k]."""
    bit_logits: str | None
    """float32 [N, K]; None where the classifier is a softmax."""


def kept_candidates(vocabulary: int) -> int:
    """k: five, or all readable ids where there are fewer."""
    return min(CANDIDATES, vocabulary - FIRST_READABLE)


def top(g: Graph, scores: str, vocabulary: int) -> str:
    """Places [N, k] of the highest; ONNX gives ties to the lowest."""
    kept = g.ints(kept_candidates(vocabulary))
    return g.ops("TopK", scores, kept, outputs=2)[1]


def drop_unreadable(g: Graph, x: str, axis: int) -> str:
    """Without PAD's and BOS's slots along ``axis``."""
    return g.op("Slice", x, g.ints(FIRST_READABLE), g.ints(2**31 - 1), g.ints(axis))


def _ranked(g: Graph, places: str, scaled: str, logits: str | None) -> Ranked:
    """``scaled``: scores over the temperature, up to a constant, [N, R]."""
    chances = g.op("GatherElements", g.op("Softmax", scaled, axis=-1), places, axis=1)
    ids = g.op("Add", places, g.number(FIRST_READABLE, TensorProto.INT64))
    return Ranked(ids, chances, logits)
