"""What ONNX operators do, in torch: those that recognisers are made of, opset 9 to 21.

Each takes its node's attributes, with the graph's `opset` among them, and its inputs (None if left
out), and returns one value. Integers
that are shapes are tensors like everything else. Differentiable wherever torch is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hcompress.errors import InputRefused
from hcompress.recognisers.opaque.shape_operators import (
    Attributes,
    Operator,
    filled,
    gathered,
    numbers_of,
    padded_by,
    reduced,
    reshaped,
    shape_of,
    sliced,
    squeezed,
    unsqueezed,
)

_TYPES = {
    1: torch.float32, 2: torch.uint8, 3: torch.int8, 5: torch.int16, 6: torch.int32,
    7: torch.int64, 9: torch.bool, 10: torch.float16, 11: torch.float64,
}  # fmt: skip


def _same_pads(size: Sequence[int], kernel: Sequence[int], given: Attributes) -> list[int]:
    """Pads for SAME_UPPER and SAME_LOWER: the odd pixel goes to the end, or to the beginning."""
    strides = given.get("strides", [1] * len(kernel))
    dilations = given.get("dilations", [1] * len(kernel))
    begins, ends = [], []
    for extent, wide, stride, apart in zip(size, kernel, strides, dilations, strict=True):
        needed = max(0, (-(-extent // stride) - 1) * stride + (wide - 1) * apart + 1 - extent)
        less, more = needed // 2, needed - needed // 2
        upper = given["auto_pad"] == b"SAME_UPPER"
        begins.append(less if upper else more)
        ends.append(more if upper else less)
    return begins + ends


def padded(
    image: Tensor, kernel: Sequence[int], given: Attributes, value: float
) -> tuple[Tensor, list[int]]:
    """The image with uneven pads applied, and the even ones that are left for the operator."""
    dimensions = len(kernel)
    pads = list(given.get("pads", [0] * 2 * dimensions))
    if given.get("auto_pad", b"NOTSET") in (b"SAME_UPPER", b"SAME_LOWER"):
        pads = _same_pads(image.shape[2:], kernel, given)
    begins, ends = pads[:dimensions], pads[dimensions:]
    if begins == ends and (value == 0 or not any(begins)):
        return image, begins
    flat = [side for pair in zip(reversed(begins), reversed(ends), strict=True) for side in pair]
    return functional.pad(image, flat, value=value), [0] * dimensions


def _conv(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    image, weight = inputs[0], inputs[1]
    bias = inputs[2] if len(inputs) > 2 else None
    kernel = weight.shape[2:]
    image, pads = padded(image, kernel, given, 0.0)
    run = functional.conv1d if len(kernel) == 1 else functional.conv2d
    return run(
        image,
        weight,
        bias,
        stride=tuple(given.get("strides", [1] * len(kernel))),
        padding=tuple(pads),
        dilation=tuple(given.get("dilations", [1] * len(kernel))),
        groups=given.get("group", 1),
    )


def _conv_transpose(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    pads = list(given.get("pads", [0, 0, 0, 0]))
    if pads[:2] != pads[2:]:
        raise InputRefused("ConvTranspose with uneven pads")
    return functional.conv_transpose2d(
        inputs[0],
        inputs[1],
        inputs[2] if len(inputs) > 2 else None,
        stride=tuple(given.get("strides", [1, 1])),
        padding=tuple(pads[:2]),
        output_padding=tuple(given.get("output_padding", [0, 0])),
        groups=given.get("group", 1),
    )


def _max_pool(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    kernel = given["kernel_shape"]
    if set(given.get("dilations", [1])) != {1}:
        raise InputRefused("a MaxPool with dilations")
    image, pads = padded(inputs[0], kernel, given, -torch.inf)
    return functional.max_pool2d(
        image,
        tuple(kernel),
        stride=tuple(given.get("strides", [1, 1])),
        padding=tuple(pads),
        ceil_mode=bool(given.get("ceil_mode", 0)),
    )


def _average_pool(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    kernel = given["kernel_shape"]
    image, pads = padded(inputs[0], kernel, given, 0.0)
    if image is not inputs[0] and not given.get("count_include_pad", 0):
        raise InputRefused("an AveragePool with uneven pads that do not count")
    return functional.avg_pool2d(
        image,
        tuple(kernel),
        stride=tuple(given.get("strides", [1, 1])),
        padding=tuple(pads),
        ceil_mode=bool(given.get("ceil_mode", 0)),
        count_include_pad=bool(given.get("count_include_pad", 0)),
    )


def _batch_norm(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    # Written out: torch's own passes no gradient on to the statistics, nor takes any that want one.
    image, scale, bias, mean, variance = inputs[:5]
    shape = (1, -1, *[1] * (image.dim() - 2))
    factor = scale / torch.sqrt(variance + given.get("epsilon", 1e-5))
    made: Tensor = image * factor.reshape(shape) + (bias - mean * factor).reshape(shape)
    return made


def _layer_norm(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    axis = given.get("axis", -1) % inputs[0].dim()
    bias = inputs[2] if len(inputs) > 2 else None
    shape = inputs[0].shape[axis:]
    return functional.layer_norm(inputs[0], shape, inputs[1], bias, given.get("epsilon", 1e-5))


def _gemm(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    left = inputs[0].T if given.get("transA", 0) else inputs[0]
    right = inputs[1].T if given.get("transB", 0) else inputs[1]
    made: Tensor = given.get("alpha", 1.0) * (left @ right)
    if len(inputs) > 2 and inputs[2] is not None:
        made = made + given.get("beta", 1.0) * inputs[2]
    return made


def _lstm(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    """Y [T, directions, N, hidden]. ONNX's gates are i, o, f, c; torch's i, f, c, o."""
    x, w, r = inputs[:3]
    bias = inputs[3] if len(inputs) > 3 else None
    if len(inputs) > 4 and inputs[4] is not None:
        raise InputRefused("an LSTM with lengths of its own a line")
    hidden, directions = r.shape[2], w.shape[0]
    if given.get("direction", b"forward") == b"reverse" or "activations" in given:
        raise InputRefused("an LSTM that runs backwards alone, or has other activations")
    order = torch.cat([torch.arange(hidden) + hidden * gate for gate in (0, 2, 3, 1)])
    flat = []
    for one in range(directions):
        flat += [w[one][order], r[one][order]]
        if bias is not None:
            flat += [bias[one][: 4 * hidden][order], bias[one][4 * hidden :][order]]
    zeros = x.new_zeros(directions, x.shape[1], hidden)
    start = tuple(
        inputs[place] if len(inputs) > place and inputs[place] is not None else zeros
        for place in (5, 6)
    )
    made: Tensor = torch.lstm(
        x, start, flat, bias is not None, 1, 0.0, False, directions == 2, False
    )[0]
    steps, lines = made.shape[:2]
    ordered: Tensor = made.reshape(steps, lines, directions, hidden).transpose(1, 2)
    return ordered


def _softmax(how: Callable[..., Tensor]) -> Operator:
    def run(given: Attributes, inputs: Sequence[Any]) -> Tensor:
        if given["opset"] >= 13:
            return how(inputs[0], given.get("axis", -1))
        axis = given.get("axis", 1) % inputs[0].dim()  # over that axis and all behind it
        return how(inputs[0].flatten(axis), axis).reshape(inputs[0].shape)

    return run


def _clip(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    low = inputs[1] if len(inputs) > 1 else given.get("min")
    high = inputs[2] if len(inputs) > 2 else given.get("max")
    made: Tensor = inputs[0] if low is high is None else torch.clamp(inputs[0], low, high)
    return made


def _cast(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    if given["to"] not in _TYPES:
        raise InputRefused(f"a Cast to ONNX's type {given['to']}")
    made: Tensor = inputs[0].to(_TYPES[given["to"]])
    return made


def _plain(how: Callable[..., Any]) -> Operator:
    """An operator without attributes."""
    return lambda _, inputs: how(*inputs)


def _divided(a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point():
        return a / b
    return torch.div(a, b, rounding_mode="trunc")


OPERATORS: Mapping[str, Operator] = {
    "Add": _plain(torch.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda given, inputs: torch.cat(list(inputs), given["axis"]),
    "ConstantOfShape": filled,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Div": _plain(_divided),
    "Dropout": lambda _, inputs: inputs[0],
    "Equal": _plain(torch.eq),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Expand": lambda _, inputs: (
        inputs[0] * torch.ones(numbers_of(inputs[1]), dtype=inputs[0].dtype)
    ),
    "Flatten": lambda given, inputs: inputs[0].reshape(
        inputs[0].shape[: given.get("axis", 1)].numel(), -1
    ),
    "Gather": gathered,
    "Gelu": lambda given, inputs: functional.gelu(
        inputs[0], approximate=given.get("approximate", b"none").decode()
    ),
    "Gemm": _gemm,
    "GlobalAveragePool": _plain(lambda x: x.mean((-2, -1), keepdim=True)),
    "HardSigmoid": lambda given, inputs: torch.clamp(
        given.get("alpha", 0.2) * inputs[0] + given.get("beta", 0.5), 0, 1
    ),
    "HardSwish": _plain(functional.hardswish),
    "Identity": lambda _, inputs: inputs[0],
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda given, inputs: functional.leaky_relu(inputs[0], given.get("alpha", 0.01)),
    "LogSoftmax": _softmax(torch.log_softmax),
    "LSTM": _lstm,
    "MatMul": _plain(torch.matmul),
    "MaxPool": _max_pool,
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "Pad": padded_by,
    "Pow": _plain(torch.pow),
    "Range": lambda _, inputs: torch.arange(*(one.item() for one in inputs)),
    "Reciprocal": _plain(torch.reciprocal),
    "ReduceMax": reduced(torch.amax),
    "ReduceMean": reduced(torch.mean),
    "ReduceSum": reduced(torch.sum),
    "Relu": _plain(torch.relu),
    "Reshape": reshaped,
    "Shape": shape_of,
    "Sigmoid": _plain(torch.sigmoid),
    "Silu": _plain(functional.silu),
    "Slice": sliced,
    "Softmax": _softmax(torch.softmax),
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": squeezed,
    "Sub": _plain(torch.sub),
    "Tanh": _plain(torch.tanh),
    "Tile": lambda _, inputs: inputs[0].repeat(numbers_of(inputs[1])),
    "Transpose": lambda given, inputs: inputs[0].permute(
        given.get("perm", list(reversed(range(inputs[0].dim()))))
    ),
    "Unsqueeze": unsqueezed,
    "Where": _plain(torch.where),
}
"""By the operator's name. `Silu` is none of ONNX's: a pair of nodes is run as one."""
