"""The Hamming head as ONNX nodes: codes unpacked in the graph, ranked by products of signs.

N lines, d = width, K = code length, V = vocabulary, R = readable ids, k candidates.

A Hamming classifier ranks by agreement, K minus twice the Hamming distance: a product of signs.
On a CPU that is one of small integers (`_portable`); TensorRT has none, but FP16 holds every such
sum exactly up to K = 2048 (`_serving`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TensorProto, helper

from hcompress.heads.contract import Form, Ranked, Setting
from hcompress.heads.ranked import FLOAT, FLOAT16, UINT8, ranked, top
from hcompress.onnx_writer.graph import Graph
from hcompress.spec.heads import Hamming

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


def codes_for(g: Graph, form: Form, setting: Setting, length: int, *, searched: bool) -> Codes:
    """The codebook as this form takes it, written once. ``searched``: it is ranked by, too."""
    if form.serving:
        return _serving(g, setting, length)
    return _portable(g, form, setting, length, searched=searched)


def _portable(g: Graph, form: Form, setting: Setting, length: int, *, searched: bool) -> Codes:
    """Unpack the codebook once, to int8 [K, R], and rank by products of small integers.

    The codebook is reshaped to the shape it has, worked out from the images' height, which no
    tool knows beforehand: so none can fold the unpacked codes into the file. A session that is
    told the height folds them when it loads, and is then as fast as it can be.
    """
    table = g.constant(SIGNS.astype(np.int8), "byte_signs")
    floats = g.call("Widen", table)
    # Of one image: onnxruntime folds a shape only where every dimension is known.
    first = g.op("Gather", form.images, g.number(0, TensorProto.INT64), axis=0)
    if form.any_width:
        first = g.op("Gather", first, g.number(0, TensorProto.INT64), axis=1)
    height = g.op("Shape", first, start=0, end=1)
    nothing = g.op("Sub", height, g.ints(form.height))
    shape = g.op("Add", g.ints(setting.vocabulary, length // 8), nothing)
    packed = g.raw("codebook")
    codes = ""
    if searched:
        signs = _unpack(g, g.op("Reshape", packed, shape), table)
        codes = g.op("Transpose", _readable(g, setting, signs), perm=[1, 0])

    def rows(body: Graph, ids: str) -> str:
        return _unpack(body, body.op("Gather", packed, ids), floats)

    def nearest(body: Graph, ones: str) -> tuple[None, str]:
        # 2 and 0 around a zero point of 1: uint8 times int8 is the product CPUs are fast at.
        shifted = body.op("Where", ones, body.number(2, UINT8), body.number(0, UINT8))
        agreement = body.op("MatMulInteger", shifted, codes, body.number(1, UINT8))
        return None, body.to(agreement, FLOAT)

    return Codes(rows, nearest)


def _serving(g: Graph, setting: Setting, length: int) -> Codes:
    """Rank by products of floats, with the ties in the key: TensorRT's TopK promises no order."""
    readable = setting.vocabulary - setting.first_answer
    kind = FLOAT16 if g.half and length <= EXACT_HALF else FLOAT
    # TensorRT takes int8 constants for quantised weights and nothing else: FP16 for floats.
    table = g.constant(SIGNS.astype(np.float16), "byte_signs")
    table = g.to(table, FLOAT) if kind == FLOAT else table
    # Unpacked once and used twice: each use of the packed codes is a copy inside an engine.
    signs = _unpack(g, g.raw("codebook"), table)

    def rows(body: Graph, ids: str) -> str:
        row = body.op("Gather", signs, ids)
        return row if kind == body.kind else body.to(row, body.kind)

    def nearest(body: Graph, ones: str) -> tuple[str | None, str]:
        codes = body.op("Transpose", _readable(body, setting, signs), perm=[1, 0])
        query = body.op("Where", ones, body.number(1, kind), body.number(-1, kind))
        agreement = body.op("MatMul", query, codes)
        if kind != FLOAT:
            agreement = body.to(agreement, FLOAT)
        if (length // 2 + 1) * readable > EXACT_FLOAT:
            return None, agreement
        # One whole number that orders by agreement, an even one, then by id.
        scaled = body.op("Mul", agreement, body.number(readable / 2))
        key = body.op("Sub", scaled, body.call("Count", body.number(readable), body=_count_body))
        return key, agreement

    return Codes(rows, nearest)


def _unpack(g: Graph, packed: str, table: str) -> str:
    """Packed codes [n, K/8] looked up byte by byte in a table [256, 8] -> [n, K]."""
    return g.call("Unpack", packed, table, body=_unpack_body)


def _unpack_body() -> tuple[list[str], list[NodeProto]]:
    return ["p", "t"], [
        helper.make_node("Cast", ["p"], ["i"], to=TensorProto.INT32),
        helper.make_node("Gather", ["t", "i"], ["g"]),
        helper.make_node("Constant", [], ["s"], value_ints=[0, -1]),
        helper.make_node("Reshape", ["g", "s"], ["y"]),
    ]


def _count_body() -> tuple[list[str], list[NodeProto]]:
    """0, 1, ... below a number, as float32."""
    return ["n"], [
        helper.make_node("Constant", [], ["a"], value_float=0.0),
        helper.make_node("Constant", [], ["b"], value_float=1.0),
        helper.make_node("Range", ["a", "n", "b"], ["y"]),
    ]


def _readable(g: Graph, setting: Setting, signs: str) -> str:
    """The rows of ids that may be answered, [R, K]."""
    return g.op("Slice", signs, g.ints(setting.first_answer), g.ints(2**31 - 1), g.ints(0))


def ranked_nodes(g: Graph, setting: Setting, spec: Hamming, h: str, codes: Codes) -> Ranked:
    """h [N, d] -> the ids of the nearest codes. The product is float32 in every form."""
    logits = g.op("Gemm", h, g.weight("classifier.projection.weight", FLOAT), transB=1)
    # Zero counts as +1, as in training: no zero sign exists.
    key, agreement = codes.nearest(g, g.op("GreaterOrEqual", logits, g.number(0.0)))
    scaled = g.op("Mul", agreement, g.number(0.5 / setting.temperature))
    # Agreement is whole, so equal distances are equal. Scaled it need not be: onnxruntime scales
    # inside of the product, where rounding tells equal ones apart.
    found = ranked(g, setting, top(g, setting, key or agreement), scaled, logits)
    return _reranked(g, setting, spec.length, found, logits, codes) if spec.rerank else found


def _reranked(
    g: Graph, setting: Setting, length: int, found: Ranked, logits: str, codes: Codes
) -> Ranked:
    """The candidates in the order `HammingHead.refine` gives them."""
    rows = codes.rows(g, g.op("Reshape", found.ids, g.ints(-1)))
    kept = g.op("Shape", found.ids)
    shape = g.op("Concat", kept, g.ints(length), axis=0)
    signs = g.op("Reshape", g.to(rows, FLOAT), shape)
    # A sum of products and no MatMul: TensorRT may round what goes into one to TF32.
    products = g.op("Mul", signs, g.op("Unsqueeze", logits, g.ints(1)))
    agreement = g.op("ReduceSum", products, g.ints(2), keepdims=0)
    halved = g.op("Mul", agreement, g.number(0.5 / setting.temperature))
    together = g.op("ReduceSum", found.chances, g.ints(1), keepdims=1)
    shares = g.op("Mul", g.op("Softmax", halved, axis=-1), together)
    order = g.ops("TopK", agreement, g.op("Slice", kept, g.ints(1), g.ints(2)), outputs=2)[1]
    return Ranked(
        g.op("GatherElements", found.ids, order, axis=1),
        g.op("GatherElements", shares, order, axis=1),
        logits,
    )
