"""The backbones as ONNX nodes. Images go in, a grid of features comes out."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from torch import nn

from hcompress.onnx_writer.graph import Graph
from hcompress.recognisers.backbones.layers import ConvNorm
from hcompress.recognisers.backbones.mobilenet import InvertedResidual, MobileNetV2
from hcompress.recognisers.backbones.nrtr import Nrtr
from hcompress.recognisers.backbones.nrtr_graph import nrtr
from hcompress.recognisers.backbones.resnet31 import ASPECTS, GlobalContext, ResidualBlock, ResNet31
from hcompress.spec.preprocessing import Preprocessing


def normalise(g: Graph, images: str, size: Preprocessing) -> str:
    """uint8 [N, H, W, C] -> [N, C, H, W] as the backbone wants it; float32 until the end."""
    # Converted before anything else: of uint8 TensorRT can do nothing but convert it.
    x = g.op("Transpose", g.to(images, TensorProto.FLOAT), perm=[0, 3, 1, 2])
    x = g.op("Div", x, g.number(255))
    if size.uneven:
        means, stds = (_by_channel(g, each) for each in (size.means, size.stds))
    else:
        means, stds = g.number(size.mean), g.number(size.std)
    return g.narrowed(g.op("Div", g.op("Sub", x, means), stds))


def _by_channel(g: Graph, values: tuple[float, ...]) -> str:
    """[C, 1, 1]."""
    return g.constant(np.array(values, np.float32)[:, None, None])


def backbone(g: Graph, module: nn.Module, x: str, name: str = "backbone") -> str:
    """[N, C, H, W] -> [N, d, H/8, W/4]. ``name`` is what the weights' names begin with."""
    if isinstance(module, MobileNetV2):
        x = conv_norm(g, module.stem, x, f"{name}.stem")
        for index, block in enumerate(module.blocks):
            assert isinstance(block, InvertedResidual)
            x = _inverted_residual(g, block, x, f"{name}.blocks.{index}")
        return conv_norm(g, module.output, x, f"{name}.output")
    if isinstance(module, Nrtr):
        return nrtr(g, module, x)
    assert isinstance(module, ResNet31)
    for index, layer in enumerate(module.layers):
        x = _resnet_layer(g, layer, x, f"{name}.layers.{index}")
    return x


def conv_norm(g: Graph, module: ConvNorm, x: str, name: str) -> str:
    """Convolution, batch normalisation where it is not folded, activation."""
    x = convolution(g, module.conv, x, f"{name}.conv")
    norm = module.norm
    if isinstance(norm, nn.BatchNorm2d):
        parts = ("weight", "bias", "running_mean", "running_var")
        tensors = [g.weight(f"{name}.norm.{part}") for part in parts]
        x = g.op("BatchNormalization", x, *tensors, epsilon=norm.eps)
    if isinstance(module.activation, nn.ReLU6):
        return g.op("Clip", x, g.floats(0), g.floats(6))
    if isinstance(module.activation, nn.ReLU):
        return g.op("Relu", x)
    assert isinstance(module.activation, nn.Identity)
    return x


def convolution(g: Graph, conv: nn.Conv2d, x: str, name: str) -> str:
    bias = [g.weight(f"{name}.bias")] if conv.bias is not None else []
    attributes: dict[str, Any] = {}
    if tuple(conv.stride) != (1, 1):
        attributes["strides"] = list(conv.stride)
    if conv.groups != 1:
        attributes["group"] = conv.groups
    assert isinstance(conv.padding, tuple)
    if tuple(conv.padding) != (0, 0):
        attributes["pads"] = [*conv.padding, *conv.padding]
    return g.op("Conv", x, g.weight(f"{name}.weight"), *bias, **attributes)


def _inverted_residual(g: Graph, block: InvertedResidual, x: str, name: str) -> str:
    y = x
    if isinstance(block.expand, ConvNorm):
        y = conv_norm(g, block.expand, y, f"{name}.expand")
    y = conv_norm(g, block.depthwise, y, f"{name}.depthwise")
    y = conv_norm(g, block.project, y, f"{name}.project")
    return g.op("Add", x, y) if block.residual else y


def _resnet_layer(g: Graph, layer: nn.Module, x: str, name: str) -> str:
    if isinstance(layer, ConvNorm):
        return conv_norm(g, layer, x, name)
    if isinstance(layer, nn.MaxPool2d):
        assert isinstance(layer.kernel_size, tuple)
        window = list(layer.kernel_size)
        return g.op("MaxPool", x, kernel_shape=window, strides=window)
    assert isinstance(layer, ResidualBlock)
    y = conv_norm(g, layer.first, x, f"{name}.first")
    y = conv_norm(g, layer.second, y, f"{name}.second")
    context = layer.context if isinstance(layer.context, GlobalContext) else None
    if context is not None and not layer.context_last:
        y = _global_context(g, context, y, f"{name}.context")
    if isinstance(layer.shortcut, ConvNorm):
        x = conv_norm(g, layer.shortcut, x, f"{name}.shortcut")
    y = g.op("Relu", g.op("Add", y, x))
    if context is not None and layer.context_last:
        y = _global_context(g, context, y, f"{name}.context")
    return y


def _global_context(g: Graph, module: GlobalContext, x: str, name: str) -> str:
    """The 1x1 mask convolution over each aspect is a product with a row of weights."""
    width = module.per_aspect
    aspects = g.op("Reshape", x, g.ints(0, ASPECTS, width, -1))
    row = g.op("Reshape", g.weight(f"{name}.mask.weight"), g.ints(1, width))
    mask = g.op("Add", g.op("MatMul", row, aspects), g.weight(f"{name}.mask.bias"))
    scaled = g.op("Div", g.widened(mask), g.number(float(width**0.5)))
    chances = g.narrowed(g.op("Softmax", scaled, axis=-1))
    pooled = g.op("MatMul", aspects, g.op("Transpose", chances, perm=[0, 1, 3, 2]))
    context = g.op("Reshape", pooled, g.ints(0, -1, 1, 1))
    context = g.widened(convolution(g, module.squeeze, context, f"{name}.squeeze"))
    context = g.op(
        "LayerNormalization",
        context,
        g.weight(f"{name}.norm.weight", TensorProto.FLOAT),
        g.weight(f"{name}.norm.bias", TensorProto.FLOAT),
        axis=1,
        epsilon=module.norm.eps,
    )
    context = g.narrowed(g.op("Relu", context))
    return g.op("Add", x, convolution(g, module.expand, context, f"{name}.expand"))


def grid_positions(g: Graph, x: str, rows: np.ndarray, columns: np.ndarray) -> str:
    """[N, d, R, C] plus its positions, kept as two small tables.

    The first d/2 features tell the row, ``rows`` [d/2, R, 1], the others the column,
    ``columns`` [d/2, 1, C]. Features are cut and joined, not the tables: their sum would be
    a constant of R x C x d floats, and some tool would fold it.
    """
    halves = g.ops("Split", x, outputs=2, axis=1, num_outputs=2)
    tables = (rows, "backbone.row_positions"), (columns, "backbone.column_positions")
    placed = [
        g.op("Add", g.widened(half), g.constant(table, name))
        for half, (table, name) in zip(halves, tables, strict=True)
    ]
    return g.narrowed(g.op("Concat", *placed, axis=1))
