"""A CTC recogniser as one ONNX graph, for images of any width.

N lines, T columns, d = width, n = the neck's, H = heads, k candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import onnx
from onnx import TensorProto
from torch import Tensor

from hcompress.heads.contract import Form, Head
from hcompress.heads.ranked import kept_candidates
from hcompress.onnx_writer.graph import Graph, value
from hcompress.recognisers.backbones.graph import backbone, conv_norm, normalise
from hcompress.recognisers.ctc.columns import Columns
from hcompress.recognisers.ctc.neck import Block, Neck
from hcompress.spec.ctc import CtcConfig
from hcompress.spec.exported import BIT_LOGITS, HEIGHT, WIDTH

EPSILON = 1e-5
"""What torch's LayerNorm adds to the variance."""


class Parts(NamedTuple):
    """What the file of a recogniser is written from."""

    config: CtcConfig
    vocabulary: int
    backbone: Columns
    neck: Neck | None
    head: Head
    state: Mapping[str, Tensor]


def portable(model: Parts, metadata: str, *, store_half: bool, probe: bool) -> onnx.ModelProto:
    """images uint8 [N, H, W, 3] -> ids int64 [N, T, k], probabilities float32 [N, T, k].

    T is W over the pitch. With ``probe`` a Hamming classifier's bit logits [N, T, K] come out too.
    """
    config, size = model.config, model.config.preprocessing
    g = Graph(model.state, store_half=store_half)
    x = backbone(g, model.backbone.grid, normalise(g, "images", size), "backbone.grid")
    x = conv_norm(g, model.backbone.pool, g.op("Relu", x), "backbone.pool")
    x = conv_norm(g, model.backbone.mix, x, "backbone.mix")
    columns = g.op("Transpose", g.op("Squeeze", x, g.ints(2)), perm=[0, 2, 1])
    lines = g.op("Shape", columns, start=0, end=2)
    h = g.op("Reshape", columns, g.ints(-1, config.width))
    if model.neck is not None:
        h = _neck(g, config, model.neck, h, lines)
    form = Form(serving=False, height=size.height, any_width=True)
    ranked = model.head.graph(g, h, model.head.prepare(g, form))
    if ranked.bit_logits is not None:
        g.rename(ranked.bit_logits, BIT_LOGITS)  # where a reader cuts, and searches beside it
    kept = kept_candidates(model.vocabulary, config.transcription.first_answer)
    made = {
        "ids": (ranked.ids, kept, TensorProto.INT64),
        "probabilities": (ranked.chances, kept, TensorProto.FLOAT),
    }
    if probe and ranked.bit_logits is not None:
        made["bit_logits"] = BIT_LOGITS, config.code_length or 0, TensorProto.FLOAT
    for name, (answers, last, _) in made.items():
        shape = g.op("Concat", lines, g.ints(last), axis=0)
        g.rename(g.op("Reshape", answers, shape), name)
    if g.unused:
        raise AssertionError(f"not exported: {', '.join(sorted(g.unused))}")
    images = value("images", TensorProto.UINT8, ("N", HEIGHT, WIDTH, size.channels))
    outputs = [value(name, kind, ("N", "T", last)) for name, (_, last, kind) in made.items()]
    return g.model([images], outputs, metadata)


def _neck(g: Graph, config: CtcConfig, neck: Neck, columns: str, lines: str) -> str:
    """[N * T, d], same out. ``lines``: N and T."""
    x = _linear(g, columns, "neck.narrow")
    heads = g.op("Concat", lines, g.ints(config.heads, config.neck_width // config.heads), axis=0)
    for index, block in enumerate(neck.blocks):
        assert isinstance(block, Block)
        name = f"neck.blocks.{index}"
        normal = _norm(g, x, f"{name}.attention_norm")
        x = g.op("Add", x, _attention(g, config, normal, heads, f"{name}.attention"))
        normal = _norm(g, x, f"{name}.feed_forward_norm")
        hidden = g.op("Relu", _linear(g, normal, f"{name}.feed_forward.expand"))
        x = g.op("Add", x, _linear(g, hidden, f"{name}.feed_forward.contract"))
    return g.op("Add", columns, _linear(g, _norm(g, x, "neck.norm"), "neck.widen"))


def _attention(g: Graph, config: CtcConfig, x: str, heads: str, name: str) -> str:
    """[N * T, n], same out. ``heads``: N, T, H and n/H."""
    query, key, value_ = (
        g.op("Reshape", _linear(g, x, f"{name}.{part}"), heads)
        for part in ("query", "key", "value")
    )
    query = g.op("Transpose", query, perm=[0, 2, 1, 3])
    query = g.op("Mul", query, g.number((config.neck_width // config.heads) ** -0.5))
    scores = g.op("MatMul", query, g.op("Transpose", key, perm=[0, 2, 3, 1]))
    mixed = g.op(
        "MatMul", g.op("Softmax", scores, axis=-1), g.op("Transpose", value_, perm=[0, 2, 1, 3])
    )
    mixed = g.op("Transpose", mixed, perm=[0, 2, 1, 3])
    return _linear(g, g.op("Reshape", mixed, g.ints(-1, config.neck_width)), f"{name}.output")


def _linear(g: Graph, x: str, name: str) -> str:
    """[N * T, in] -> [N * T, out]."""
    return g.op("Gemm", x, g.weight(f"{name}.weight"), g.weight(f"{name}.bias"), transB=1)


def _norm(g: Graph, x: str, name: str) -> str:
    return g.op(
        "LayerNormalization", x, g.weight(f"{name}.weight"), g.weight(f"{name}.bias"),
        epsilon=EPSILON,
    )  # fmt: skip
