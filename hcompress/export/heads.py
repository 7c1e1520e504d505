"""Embedding, classifier and ranking as ONNX nodes: ids in, the best ids and chances out.

N lines, d = width, K = code length, V = vocabulary, R = V - 2 readable ids, k candidates.

A Hamming classifier ranks by agreement, K minus twice the Hamming distance: a product of signs.
On a CPU that is one of small integers (`portable_codes`); TensorRT has none, but FP16 holds
every such sum exactly up to K = 2048 (`serving_codes`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from hcompress.export.graph import Graph
from hcompress.recogniser.config import (
    CANDIDATES,
    SCALE,
    Classifier,
    Embedding,
    RecogniserConfig,
)
from hcompress.recogniser.vocabulary import EOS, FIRST_READABLE, PAD

FLOAT, FLOAT16, INT8, INT32, UINT8 = (
    TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.INT32, TensorProto.UINT8,
)  # fmt: skip
EXACT_HALF, EXACT_FLOAT = 1 << 11, 1 << 24
"""FP16 and float32 hold every whole number up to here."""
SIGNS = ((np.arange(256)[:, None] >> np.arange(8)) & 1) * 2 - 1
"""[256, 8]: the signs each byte stands for, its lowest bit first."""


@dataclass(frozen=True)
class Ranked:
    """What a step answers."""

    ids: str
    """int64 [N, k]."""
    chances: str
    """float32 [N, k]."""
    bit_logits: str | None
    """float32 [N, K]; None where the classifier is a softmax."""


@dataclass(frozen=True)
class Codes:
    """What the two forms do differently with a codebook."""

    rows: Callable[[Graph, str], str]
    """ids [N] -> their signs [N, K], in the type the network computes in."""
    nearest: Callable[[Graph, str], tuple[str | None, str]]
    """bool [N, K], true where a bit is set -> what to rank by [N, R], None for agreement
    itself, and agreement with each readable code [N, R] (float32)."""


def kept_candidates(vocabulary: int) -> int:
    """k: five, or all readable ids where there are fewer."""
    return min(CANDIDATES, vocabulary - FIRST_READABLE)


def embed(g: Graph, config: RecogniserConfig, ids: str, position: str, codes: Codes | None) -> str:
    """ids [N] and the position's vector [d] -> float32 [N, d], the sum of both."""
    learned = config.embedding is Embedding.LEARNED
    if learned and config.embedding_bottleneck is None:
        return g.op("Add", _rows(g, "embedding.weight", ids), position)
    weight = g.weight("embedding.projection.weight")
    if learned:
        rows = g.narrowed(_rows(g, "embedding.rows.weight", ids))
    else:
        assert codes is not None
        rows = codes.rows(g, ids)
    if not g.half:
        return g.op("Gemm", rows, weight, position, transB=1)
    return g.op("Add", g.widened(g.op("Gemm", rows, weight, transB=1)), position)


def _rows(g: Graph, name: str, ids: str) -> str:
    """Rows of a weight as float32; gathered first, so that only those asked for are converted."""
    rows = g.to(g.op("Gather", g.raw(name), ids), FLOAT)
    if not g.is_int8(name):
        return rows
    scales = g.to(g.op("Gather", g.raw(name + SCALE), ids), FLOAT)
    return g.op("Mul", rows, g.op("Unsqueeze", scales, g.ints(1)))


def signs_table(g: Graph, kind: int) -> str:
    """The signs of every byte, [256, 8], of a type."""
    # TensorRT takes int8 constants for quantised weights and nothing else: FP16 for floats.
    stored = g.constant(SIGNS.astype(np.int8 if kind == INT8 else np.float16), "byte_signs")
    return g.to(stored, FLOAT) if kind == FLOAT else stored


def rank(
    g: Graph, config: RecogniserConfig, h: str, vocabulary: int, codes: Codes | None
) -> Ranked:
    """h [N, d] (float32) -> the best readable ids, ties to the lowest, and their chances.

    The classifier's product is float32 in every form: it decides which character is read.
    """
    if config.classifier is Classifier.SOFTMAX:
        columns = "classifier.weight"
        if config.classifier_bottleneck is not None:
            columns = "classifier.columns.weight"
            h = g.op("Gemm", h, g.weight("classifier.projection.weight", FLOAT), transB=1)
        # The readable ones' columns alone, and the temperature in the product: nothing is left
        # to do for each of V scores but to rank them.
        weight = g.call("Readable", g.weight(columns, FLOAT))
        scaled = g.op("Gemm", h, weight, transB=1, alpha=1 / config.temperature)
        return _ranked(g, top(g, scaled, vocabulary), scaled, None)
    assert codes is not None
    logits = g.op("Gemm", h, g.weight("classifier.projection.weight", FLOAT), transB=1)
    # Zero counts as +1, as in training: no zero sign exists.
    key, agreement = codes.nearest(g, g.op("GreaterOrEqual", logits, g.number(0.0)))
    scaled = g.op("Mul", agreement, g.number(0.5 / config.temperature))
    # Agreement is whole, so equal distances are equal. Scaled it need not be: onnxruntime scales
    # inside of the product, where rounding tells equal ones apart.
    ranked = _ranked(g, top(g, key or agreement, vocabulary), scaled, logits)
    return _refined(g, config, ranked, logits, codes) if config.refined else ranked


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


def _refined(
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


def unless_ended(g: Graph, alive: str, ranked: Ranked) -> tuple[str, str]:
    """The best ids and chances; a line that has ended answers PAD with certainty.

    alive bool [N, 1]: whether the line goes on.
    """
    ids = g.op("Where", alive, ranked.ids, g.number(PAD, TensorProto.INT64))
    return ids, g.op("Where", alive, ranked.chances, g.number(1.0))


def running(g: Graph, last: str) -> str:
    """bool [N, 1]: whether a line whose last id is this goes on (BOS or a character)."""
    over = g.op(
        "Or",
        g.op("Equal", last, g.number(EOS, TensorProto.INT64)),
        g.op("Equal", last, g.number(PAD, TensorProto.INT64)),
    )
    return g.op("Unsqueeze", g.op("Not", over), g.ints(1))
