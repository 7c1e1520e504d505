"""Embedding, classifier and ranking as ONNX nodes: ids in, the best ids and chances out.

N lines, d = width, K = code length, V = vocabulary, R = V - 2 readable ids, k candidates.

A Hamming classifier ranks by agreement, K minus twice the Hamming distance: a product of signs.
On a CPU that is one of small integers (`portable_codes`); TensorRT has none, but FP16 holds
every such sum exactly up to K = 2048 (`serving_codes`).
"""

from __future__ import annotations

from onnx import TensorProto

from hcompress.charset import EOS, PAD
from hcompress.heads.hamming.graph import Codes, _reranked
from hcompress.heads.ranked import FLOAT, Ranked, _ranked, top
from hcompress.onnx_writer.graph import Graph
from hcompress.spec.config import SCALE, Classifier, Embedding, RecogniserConfig


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
    return _reranked(g, config, ranked, logits, codes) if config.rerank else ranked


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
