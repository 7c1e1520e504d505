"""The Hamming head as ONNX nodes: codes unpacked in the graph, a native node where it serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from hcompress.charset import FIRST_READABLE
from hcompress.heads.ranked import FLOAT, FLOAT16, INT8, UINT8, Ranked, drop_unreadable
from hcompress.onnx_writer.graph import Graph
from hcompress.spec.config import Classifier, RecogniserConfig

EXACT_HALF, EXACT_FLOAT = 1 << 11, 1 << 24
"""FP16 and float32 hold every whole number up to here."""
SIGNS = ((np.arange(256)[:, None] >> np.arange(8)) & 1) * 2 - 1
"""[256, 8]: the signs each byte stands for, its lowest bit first."""


@dataclass(frozen=True)
class Codes:
    """What the two forms do differently with a codebook."""

    rows: Callable[[Graph, str], str]
    """ids [N] -> their signs [N, K], in the type the network computes in."""
    nearest: Callable[[Graph, str], tuple[str | None, str]]
    """bool [N, K], true where a bit is set -> what to rank by [N, R], None for agreement
    itself, and agreement with each readable code [N, R] (float32)."""


def signs_table(g: Graph, kind: int) -> str:
    """The signs of every byte, [256, 8], of a type."""
    # TensorRT takes int8 constants for quantised weights and nothing else: FP16 for floats.
    stored = g.constant(SIGNS.astype(np.int8 if kind == INT8 else np.float16), "byte_signs")
    return g.to(stored, FLOAT) if kind == FLOAT else stored


def portable_codes(
    g: Graph, config: RecogniserConfig, vocabulary: int, images: str
) -> Codes | None:
    """Unpack the codebook once, to int8 [K, R], and rank by products of small integers.

    The codebook is reshaped to the shape it has, worked out from the images' height, which no
    tool knows beforehand: so none can fold the unpacked codes into the file. A session that is
    told the height folds them when it loads, and is then as fast as it can be.
    """
    if config.code_length is None:
        return None
    table = g.constant(SIGNS.astype(np.int8), "byte_signs")
    floats = g.call("Widen", table)
    # Of one image: onnxruntime folds a shape only where every dimension is known.
    first = g.op("Gather", images, g.number(0, TensorProto.INT64), axis=0)
    height = g.op("Shape", first, start=0, end=1)
    nothing = g.op("Sub", height, g.ints(config.preprocessing.height))
    shape = g.op("Add", g.ints(vocabulary, config.code_length // 8), nothing)
    packed = g.raw("codebook")
    codes = ""
    if config.classifier is Classifier.HAMMING:
        signs = g.call("Unpack", g.op("Reshape", packed, shape), table)
        codes = g.op("Transpose", drop_unreadable(g, signs, axis=0), perm=[1, 0])

    def rows(body: Graph, ids: str) -> str:
        return body.call("Unpack", body.op("Gather", packed, ids), floats)

    def nearest(body: Graph, ones: str) -> tuple[None, str]:
        # 2 and 0 around a zero point of 1: uint8 times int8 is the product CPUs are fast at.
        shifted = body.op("Where", ones, body.number(2, UINT8), body.number(0, UINT8))
        agreement = body.op("MatMulInteger", shifted, codes, body.number(1, UINT8))
        return None, body.to(agreement, FLOAT)

    return Codes(rows, nearest)


def serving_codes(g: Graph, config: RecogniserConfig, vocabulary: int) -> Codes | None:
    """Rank by products of floats, with the ties in the key: TensorRT's TopK promises no order."""
    if config.code_length is None:
        return None
    length, readable = config.code_length, vocabulary - FIRST_READABLE
    kind = FLOAT16 if g.half and length <= EXACT_HALF else FLOAT
    # TensorRT takes int8 constants for quantised weights and nothing else: FP16 for floats.
    table = g.constant(SIGNS.astype(np.float16), "byte_signs")
    table = g.to(table, FLOAT) if kind == FLOAT else table
    # Unpacked once and used twice: each use of the packed codes is a copy inside an engine.
    signs = g.call("Unpack", g.raw("codebook"), table)

    def rows(body: Graph, ids: str) -> str:
        row = body.op("Gather", signs, ids)
        return row if kind == body.kind else body.to(row, body.kind)

    def nearest(body: Graph, ones: str) -> tuple[str | None, str]:
        codes = body.op("Transpose", drop_unreadable(body, signs, axis=0), perm=[1, 0])
        query = body.op("Where", ones, body.number(1, kind), body.number(-1, kind))
        agreement = body.op("MatMul", query, codes)
        if kind != FLOAT:
            agreement = body.to(agreement, FLOAT)
        if (length // 2 + 1) * readable > EXACT_FLOAT:
            return None, agreement
        # One whole number that orders by agreement, an even one, then by id.
        scaled = body.op("Mul", agreement, body.number(readable / 2))
        key = body.op("Sub", scaled, body.call("Count", body.number(readable)))
        return key, agreement

    return Codes(rows, nearest)


def _reranked(
    g: Graph, config: RecogniserConfig, ranked: Ranked, logits: str, codes: Codes
) -> Ranked:
    """The candidates in the order `Recogniser.refine` gives them."""
    rows = codes.rows(g, g.op("Reshape", ranked.ids, g.ints(-1)))
    kept = g.op("Shape", ranked.ids)
    shape = g.op("Concat", kept, g.ints(config.code_length or 0), axis=0)
    signs = g.op("Reshape", g.to(rows, FLOAT), shape)
    # A sum of products and no MatMul: TensorRT may round what goes into one to TF32.
    products = g.op("Mul", signs, g.op("Unsqueeze", logits, g.ints(1)))
    agreement = g.op("ReduceSum", products, g.ints(2), keepdims=0)
    halved = g.op("Mul", agreement, g.number(0.5 / config.temperature))
    together = g.op("ReduceSum", ranked.chances, g.ints(1), keepdims=1)
    shares = g.op("Mul", g.op("Softmax", halved, axis=-1), together)
    order = g.ops("TopK", agreement, g.op("Slice", kept, g.ints(1), g.ints(2)), outputs=2)[1]
    return Ranked(
        g.op("GatherElements", ranked.ids, order, axis=1),
        g.op("GatherElements", shares, order, axis=1),
        logits,
    )
