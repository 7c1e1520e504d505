"""One step of the decoder as ONNX nodes.

N lines, d = width, H = heads, T = steps at most, L = memory positions. A step has one query a
line, so that heads are split and joined by reshaping alone; keys lie as [N, H, d/H, T] and
[N, H, d/H, L], ready to be multiplied. The vectors between the layers stay float32: they are
sums of many, and small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from hcompress.export.graph import Graph
from hcompress.recogniser.config import RecogniserConfig
from hcompress.recogniser.decoder import sinusoid

FLOAT = TensorProto.FLOAT
EPSILON = 1e-5
"""What torch's LayerNorm adds to the variance."""


class Pair(NamedTuple):
    """Keys [N, H, d/H, S] and values [N, H, S, d/H]."""

    keys: str
    values: str


@dataclass(frozen=True)
class Here:
    """What a step knows of its place."""

    column: str
    """bool [1, T]: true at this step, as keys lie."""
    row: str
    """bool [T, 1]: the same, as values lie."""
    mask: str
    """float32 [T]: minus infinity at the steps to come."""
    vector: str
    """float32 [d]: the position's vector."""


def cross_pair(g: Graph, config: RecogniserConfig, memory: str, layer: int) -> Pair:
    """Cross-attention's keys and values, the same at every step. memory [N * L, d]."""
    rows, columns = config.memory_grid
    heads = g.ints(-1, rows * columns, config.heads, config.width // config.heads)
    name = f"decoder.layers.{layer}.cross_attention"
    keys, values = (
        g.op("Reshape", _linear(g, memory, f"{name}.{part}"), heads) for part in ("key", "value")
    )
    return Pair(
        g.op("Transpose", keys, perm=[0, 2, 3, 1]), g.op("Transpose", values, perm=[0, 2, 1, 3])
    )


def here(g: Graph, config: RecogniserConfig, position: str) -> Here:
    """position [] (int64)."""
    steps = g.constant(np.arange(config.max_steps, dtype=np.int64))
    at = g.op("Equal", steps, position)
    future = g.op("Greater", steps, position)
    table = g.constant(sinusoid(config.max_steps, config.width).numpy(), "decoder.positions")
    return Here(
        column=g.op("Unsqueeze", at, g.ints(0)),
        row=g.op("Unsqueeze", at, g.ints(1)),
        mask=g.op("Where", future, g.number(float("-inf")), g.number(0.0)),
        vector=g.op("Gather", table, position),
    )


def step(
    g: Graph, config: RecogniserConfig, x: str, at: Here, caches: list[Pair], cross: list[Pair]
) -> tuple[str, list[Pair]]:
    """One greedy step: x [N, d] (float32) -> features h [N, d] (float32) and the D caches."""
    x = g.op("Add", x, at.vector)
    written = []
    for index, cache in enumerate(caches):
        stored = index if config.stored_layers > 1 else 0
        x, pair = _layer(g, config, x, at, cache, cross[stored], f"decoder.layers.{stored}")
        written.append(pair)
    return _norm(g, x, "decoder.norm"), written


def _layer(
    g: Graph, config: RecogniserConfig, x: str, at: Here, cache: Pair, cross: Pair, name: str
) -> tuple[str, Pair]:
    normal = g.narrowed(_norm(g, x, f"{name}.self_attention_norm"))
    attention = f"{name}.self_attention"
    width = config.width // config.heads
    key = _linear(g, normal, f"{attention}.key")
    key = g.op("Reshape", key, g.ints(0, config.heads, width, 1))
    value = _linear(g, normal, f"{attention}.value")
    value = g.op("Reshape", value, g.ints(0, config.heads, 1, width))
    cache = Pair(
        g.op("Where", at.column, key, cache.keys), g.op("Where", at.row, value, cache.values)
    )
    x = _add(g, x, _attend(g, config, normal, cache, at.mask, attention))
    normal = g.narrowed(_norm(g, x, f"{name}.cross_attention_norm"))
    x = _add(g, x, _attend(g, config, normal, cross, None, f"{name}.cross_attention"))
    if config.ffn:
        normal = g.narrowed(_norm(g, x, f"{name}.feed_forward_norm"))
        hidden = g.op("Relu", _linear(g, normal, f"{name}.feed_forward.expand"))
        x = _add(g, x, _linear(g, hidden, f"{name}.feed_forward.contract"))
    return x, cache


def _attend(
    g: Graph, config: RecogniserConfig, x: str, pair: Pair, mask: str | None, name: str
) -> str:
    """[N, d] -> [N, d]; the softmax in float32."""
    width = config.width // config.heads
    query = g.op("Mul", _linear(g, x, f"{name}.query"), g.floats(width**-0.5))
    query = g.op("Reshape", query, g.ints(0, config.heads, 1, width))
    scores = g.widened(g.op("MatMul", query, pair.keys))
    if mask is not None:
        scores = g.op("Add", scores, mask)
    weights = g.narrowed(g.op("Softmax", scores, axis=-1))
    mixed = g.op("Reshape", g.op("MatMul", weights, pair.values), g.ints(0, config.width))
    return _linear(g, mixed, f"{name}.output")


def _linear(g: Graph, x: str, name: str) -> str:
    """[N, in] -> [N, out]."""
    return g.op("Gemm", x, g.weight(f"{name}.weight"), g.weight(f"{name}.bias"), transB=1)


def _add(g: Graph, x: str, y: str) -> str:
    """The residual: x is float32, y what the network computes in."""
    return g.op("Add", x, g.widened(y))


def _norm(g: Graph, x: str, name: str) -> str:
    weight, bias = (g.weight(f"{name}.{part}", FLOAT) for part in ("weight", "bias"))
    return g.op("LayerNormalization", x, weight, bias, epsilon=EPSILON)
