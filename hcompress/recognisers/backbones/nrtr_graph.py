"""`Nrtr` as ONNX nodes. N lines, d = width, H = heads, L columns."""

from __future__ import annotations

from onnx import TensorProto

from hcompress.onnx_writer.graph import Graph
from hcompress.onnx_writer.sinusoid import sinusoid_nodes
from hcompress.recognisers.backbones.nrtr import EncoderLayer, Halving, Nrtr

EPSILON = 1e-5


def nrtr(g: Graph, module: Nrtr, x: str) -> str:
    """[N, 3, H, W] -> [N, d, 1, L]."""
    for name in ("first", "second"):
        x = _halving(g, module.get_submodule(name), x, f"backbone.{name}")
    columns = g.op("Transpose", x, perm=[0, 3, 2, 1])
    x = g.widened(g.op("Reshape", columns, g.ints(0, 0, module.width)))
    length = g.op("Shape", x, start=1, end=2)
    x = g.op("Add", x, sinusoid_nodes(g, length, module.width))
    for index, layer in enumerate(module.layers):
        assert isinstance(layer, EncoderLayer)
        x = _layer(g, layer, x, f"backbone.layers.{index}")
    return g.op("Unsqueeze", g.narrowed(g.op("Transpose", x, perm=[0, 2, 1])), g.ints(2))


def _halving(g: Graph, module: object, x: str, name: str) -> str:
    assert isinstance(module, Halving)
    weights = [g.weight(f"{name}.conv.{part}") for part in ("weight", "bias")]
    x = g.op("Relu", g.op("Conv", x, *weights, strides=[2, 2], pads=[1, 1, 1, 1]))
    shape = g.ints(-1, 1, 1)
    scale, shift = (
        g.op("Reshape", g.weight(f"{name}.scale.{part}"), shape) for part in ("weight", "bias")
    )
    return g.op("Add", g.op("Mul", x, scale), shift)


def _layer(g: Graph, layer: EncoderLayer, x: str, name: str) -> str:
    """[N, L, d] (float32), same out."""
    attention, narrow = f"{name}.attention", g.narrowed(x)
    heads = layer.attention.heads
    size = layer.norm.normalized_shape[0] // heads
    query, key, value = (
        g.op("Reshape", linear(g, narrow, f"{attention}.{part}"), g.ints(0, 0, heads, size))
        for part in ("query", "key", "value")
    )
    query = g.op("Mul", g.op("Transpose", query, perm=[0, 2, 1, 3]), g.floats(size**-0.5))
    scores = g.widened(g.op("MatMul", query, g.op("Transpose", key, perm=[0, 2, 3, 1])))
    shares = g.narrowed(g.op("Softmax", scores, axis=-1))
    mixed = g.op("MatMul", shares, g.op("Transpose", value, perm=[0, 2, 1, 3]))
    joined = g.op(
        "Reshape", g.op("Transpose", mixed, perm=[0, 2, 1, 3]), g.ints(0, 0, heads * size)
    )
    x = _norm(g, x, linear(g, joined, f"{attention}.output"), f"{name}.attention_norm")
    hidden = g.op("Relu", linear(g, g.narrowed(x), f"{name}.expand"))
    return _norm(g, x, linear(g, hidden, f"{name}.contract"), f"{name}.norm")


def linear(g: Graph, x: str, name: str) -> str:
    """[N, L, in] -> [N, L, out]."""
    turned = g.op("Transpose", g.weight(f"{name}.weight"), perm=[1, 0])
    return g.op("Add", g.op("MatMul", x, turned), g.weight(f"{name}.bias"))


def _norm(g: Graph, x: str, change: str, name: str) -> str:
    """The sum, normalised."""
    weight, bias = (g.weight(f"{name}.{part}", TensorProto.FLOAT) for part in ("weight", "bias"))
    total = g.op("Add", x, g.widened(change))
    return g.op("LayerNormalization", total, weight, bias, epsilon=EPSILON)
