"""One step of the decoder as ONNX nodes.

N lines, d = width, H = heads, T = steps at most, t = steps so far, L = memory positions. A step
has one query a line, so that heads are split and joined by reshaping alone; cross-attention's
keys lie as [N, H, d/H, L], ready to be multiplied. The vectors between the layers stay float32:
they are sums of many, and small.

The caches are of two kinds. Fixed ones have room for all T steps and hide those to come:
TensorRT wants shapes that do not change. Growing ones hold the steps so far and no more, and
are the faster on a CPU: nothing is masked, and a step is appended, not chosen place by place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from hcompress.onnx_writer.graph import Graph
from hcompress.recognisers.attention import sinusoid
from hcompress.spec.config import TransformerConfig

FLOAT = TensorProto.FLOAT
EPSILON = 1e-5
"""What torch's LayerNorm adds to the variance."""


class Pair(NamedTuple):
    """Keys [N, H, d/H, S] and values [N, H, S, d/H]; in a growing cache keys lie as values."""

    keys: str
    values: str


@dataclass(frozen=True)
class Here:
    """What a step knows of its place in caches of a fixed length."""

    column: str
    """bool [1, T]: true at this step, as keys lie."""
    row: str
    """bool [T, 1]: the same, as values lie."""
    mask: str
    """float32 [T]: minus infinity at the steps to come."""


def cross_pair(g: Graph, config: TransformerConfig, memory: str, layer: int) -> Pair:
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


def here(g: Graph, config: TransformerConfig, position: str) -> Here:
    """position [] (int64)."""
    steps = g.constant(np.arange(config.max_steps, dtype=np.int64))
    at = g.op("Equal", steps, position)
    future = g.op("Greater", steps, position)
    return Here(
        column=g.op("Unsqueeze", at, g.ints(0)),
        row=g.op("Unsqueeze", at, g.ints(1)),
        mask=g.op("Where", future, g.number(float("-inf")), g.number(0.0)),
    )


def position_vector(g: Graph, config: TransformerConfig, position: str) -> str:
    """position [] (int64) -> float32 [d]."""
    table = g.constant(sinusoid(config.max_steps, config.width).numpy(), "decoder.positions")
    return g.op("Gather", table, position)


def step(
    g: Graph,
    config: TransformerConfig,
    x: str,
    at: Here | None,
    caches: list[Pair],
    cross: list[Pair],
) -> tuple[str, list[Pair]]:
    """One greedy step: x [N, d] (float32) -> features h [N, d] (float32) and the D caches.

    ``at`` is None where the caches grow.
    """
    written = []
    for index, cache in enumerate(caches):
        stored = index if config.stored_layers > 1 else 0
        x, pair = _layer(g, config, x, at, cache, cross[stored], f"decoder.layers.{stored}")
        written.append(pair)
    return x if config.post_norm else _norm(g, x, "decoder.norm"), written


def _layer(
    g: Graph,
    config: TransformerConfig,
    x: str,
    at: Here | None,
    cache: Pair,
    cross: Pair,
    name: str,
) -> tuple[str, Pair]:
    normal = _given(g, config, x, f"{name}.self_attention_norm")
    attention = f"{name}.self_attention"
    if at is None:
        mixed, cache = _growing(g, config, normal, cache, attention)
    else:
        mixed, cache = _fixed(g, config, normal, at, cache, attention)
    change = _linear(g, mixed, f"{attention}.output")
    x = _added(g, config, x, change, f"{name}.self_attention_norm")
    normal = _given(g, config, x, f"{name}.cross_attention_norm")
    attention = f"{name}.cross_attention"
    query = _heads(g, config, _linear(g, normal, f"{attention}.query"))
    mixed = _attend(g, config, query, cross, None)
    change = _linear(g, mixed, f"{attention}.output")
    x = _added(g, config, x, change, f"{name}.cross_attention_norm")
    if config.ffn:
        normal = _given(g, config, x, f"{name}.feed_forward_norm")
        hidden = g.op("Relu", _linear(g, normal, f"{name}.feed_forward.expand"))
        change = _linear(g, hidden, f"{name}.feed_forward.contract")
        x = _added(g, config, x, change, f"{name}.feed_forward_norm")
    return x, cache


def _fixed(
    g: Graph, config: TransformerConfig, x: str, at: Here, cache: Pair, name: str
) -> tuple[str, Pair]:
    """Self-attention over caches of T steps: [N, d] -> [N, d] before the output's product."""
    width = config.width // config.heads
    key = g.op("Reshape", _linear(g, x, f"{name}.key"), g.ints(0, config.heads, width, 1))
    value = _heads(g, config, _linear(g, x, f"{name}.value"))
    cache = Pair(
        g.op("Where", at.column, key, cache.keys), g.op("Where", at.row, value, cache.values)
    )
    query = _heads(g, config, _linear(g, x, f"{name}.query"))
    return _attend(g, config, query, cache, at.mask), cache


def _growing(
    g: Graph, config: TransformerConfig, x: str, cache: Pair, name: str
) -> tuple[str, Pair]:
    """The same over caches of t steps: one product for query, key and value."""
    parts = ("query", "key", "value")
    weight, bias = (g.joined(*(f"{name}.{p}.{kind}" for p in parts)) for kind in ("weight", "bias"))
    joined = g.op("Gemm", x, weight, bias, transB=1)
    shape = g.ints(0, 3 * config.heads, 1, config.width // config.heads)
    apart = g.op("Reshape", joined, shape)
    query, key, value = g.ops("Split", apart, outputs=3, axis=1, num_outputs=3)
    keys, values = (
        g.op("Concat", old, new, axis=2) for old, new in zip(cache, (key, value), strict=True)
    )
    turned = g.op("Transpose", keys, perm=[0, 1, 3, 2])
    return _attend(g, config, query, Pair(turned, values), None), Pair(keys, values)


def _heads(g: Graph, config: TransformerConfig, x: str) -> str:
    """[N, d] -> [N, H, 1, d/H]."""
    return g.op("Reshape", x, g.ints(0, config.heads, 1, config.width // config.heads))


def _attend(g: Graph, config: TransformerConfig, query: str, pair: Pair, mask: str | None) -> str:
    """query [N, H, 1, d/H] -> [N, d]; the softmax in float32."""
    # Right before the product: onnxruntime makes one of the two.
    query = g.op("Mul", query, g.floats((config.width // config.heads) ** -0.5))
    scores = g.widened(g.op("MatMul", query, pair.keys))
    if mask is not None:
        scores = g.op("Add", scores, mask)
    weights = g.narrowed(g.op("Softmax", scores, axis=-1))
    return g.op("Reshape", g.op("MatMul", weights, pair.values), g.ints(0, config.width))


def _linear(g: Graph, x: str, name: str) -> str:
    """[N, in] -> [N, out]."""
    return g.op("Gemm", x, g.weight(f"{name}.weight"), g.weight(f"{name}.bias"), transB=1)


def _given(g: Graph, config: TransformerConfig, x: str, norm: str) -> str:
    """What a sub-layer is given, in the type the network computes in."""
    return g.narrowed(x if config.post_norm else _norm(g, x, norm))


def _added(g: Graph, config: TransformerConfig, x: str, y: str, norm: str) -> str:
    """The residual: x is float32, y what the network computes in."""
    total = g.op("Add", x, g.widened(y))
    return _norm(g, total, norm) if config.post_norm else total


def _norm(g: Graph, x: str, name: str) -> str:
    weight, bias = (g.weight(f"{name}.{part}", FLOAT) for part in ("weight", "bias"))
    return g.op("LayerNormalization", x, weight, bias, epsilon=EPSILON)
