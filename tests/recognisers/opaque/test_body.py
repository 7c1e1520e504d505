"""A body in torch computes what onnxruntime computes, and passes gradients on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hcompress.errors import InputRefused
from hcompress.recognisers.opaque.body import OpaqueBody
from hcompress.recognisers.opaque.moments import input_moments
from tests.foreign.real_files import real_or_skip

RNG = np.random.default_rng(2)


def held(name: str, *shape: int, kind: Any = np.float32) -> TensorProto:
    return numpy_helper.from_array(RNG.normal(size=shape).astype(kind) / 2, name)


def ints(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def model(nodes: Sequence[NodeProto], tensors: Sequence[TensorProto], opset: int) -> ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 12, "W"])],
        [helper.make_empty_tensor_value_info("y")],
        list(tensors),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)


def node(kind: str, inputs: str, output: str = "y", **given: Any) -> NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **given)


PAIR = {"kernel_shape": [2, 2], "strides": [2, 1]}
GRAPHS: dict[str, tuple[int, list[NodeProto], list[TensorProto]]] = {
    "convolution": (
        11,
        [node("Conv", "x w b", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 1])],
        [held("w", 4, 3, 3, 3), held("b", 4)],
    ),
    "same upper": (11, [node("Conv", "x w", auto_pad="SAME_UPPER")], [held("w", 4, 3, 2, 2)]),
    "same lower": (
        11,
        [node("Conv", "x w", auto_pad="SAME_LOWER", strides=[2, 3])],
        [held("w", 4, 3, 4, 2)],
    ),
    "uneven pads": (11, [node("Conv", "x w", pads=[0, 1, 2, 0])], [held("w", 4, 3, 3, 3)]),
    "depthwise": (11, [node("Conv", "x w", group=3)], [held("w", 3, 1, 3, 3)]),
    "max pool": (11, [node("MaxPool", "x", auto_pad="SAME_UPPER", **PAIR)], []),
    "softmax of opset 11": (11, [node("Softmax", "x")], []),
    "softmax of opset 13": (13, [node("Softmax", "x", axis=1)], []),
    "clip to nothing": (11, [node("Clip", "x")], []),
    "average pool": (11, [node("AveragePool", "x", pads=[1, 1, 1, 1], **PAIR)], []),
    "normalisation": (
        11,
        [node("BatchNormalization", "x s b m v", epsilon=1e-3)],
        [held("s", 3), held("b", 3), held("m", 3),
         numpy_helper.from_array(np.array([1, 2, 3], np.float32), "v")],
    ),
    "gate": (
        12,
        [node("Sigmoid", "x", "s"), node("Mul", "s x")],
        [],
    ),
    "a gate that is used twice": (
        12,
        [node("Sigmoid", "x", "s"), node("Mul", "x s", "m"), node("Add", "m s")],
        [],
    ),
    "slices": (
        12,
        [node("Slice", "x starts ends axes steps")],
        [ints("starts", 1, -1), ints("ends", 9, -99), ints("axes", 2, 3), ints("steps", 2, -2)],
    ),
    "old slices": (9, [node("Slice", "x", starts=[1], ends=[9999], axes=[3])], []),
    "shapes": (
        12,
        [
            node("Shape", "x", "s"), node("Gather", "s places", "n"),
            node("Concat", "n rest", "t", axis=0), node("Reshape", "x t"),
        ],
        [ints("places", 0), ints("rest", -1, 6)],
    ),
    "new squeezes": (
        13,
        [node("ReduceMean", "x", "m", axes=[2]), node("Squeeze", "m axis")],
        [ints("axis", 2)],
    ),
    "unsqueezes": (12, [node("Unsqueeze", "x", axes=[0, 5])], []),
    "attention": (
        12,
        [
            node("Transpose", "x", "t", perm=[0, 1, 3, 2]), node("MatMul", "x t", "s"),
            node("Softmax", "s", "p", axis=3), node("MatMul", "p x", "o"), node("MatMul", "t w"),
        ],
        [held("w", 12, 5)],
    ),
    "clips": (
        12,
        [node("Clip", "x low", "c"), node("HardSigmoid", "c", "h", alpha=0.3), node("Erf", "h")],
        [numpy_helper.from_array(np.float32(-0.4), "low")],
    ),
    "recurrent": (
        12,
        [
            node("Reshape", "x to", "t"),
            node("LSTM", "t w r b", direction="bidirectional", hidden_size=4),
        ],
        [ints("to", -1, 2, 6), held("w", 2, 16, 6), held("r", 2, 16, 4), held("b", 2, 32)],
    ),
    "fully connected": (
        12,
        [node("Flatten", "x", "f", axis=3), node("Transpose", "f", "t"),
         node("Slice", "t zero upto", "c"), node("Transpose", "c", "u"),
         node("Gemm", "u w b", transA=1, transB=1, alpha=0.5)],
        [ints("zero", 0), ints("upto", 4), held("w", 5, 72), held("b", 5)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_the_same_numbers_as_onnxruntime(name: str) -> None:
    opset, nodes, tensors = GRAPHS[name]
    proto = model(nodes, tensors, opset)
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    body = OpaqueBody(proto, "y")
    for width in (18, 24):
        images = RNG.normal(size=(2, 3, 12, width)).astype(np.float32)
        wanted = session.run(None, {"x": images})[0]
        made = body(torch.from_numpy(images)).numpy()
        assert made.shape == wanted.shape
        np.testing.assert_allclose(made, wanted, atol=2e-5)


def test_weights_that_are_handed_in_learn() -> None:
    proto = model(*GRAPHS["convolution"][1:], 11)
    body = OpaqueBody(proto, "y")
    weight = body.weights["w"].clone().requires_grad_()
    body(torch.ones(1, 3, 12, 12), {"w": 2 * weight}).square().mean().backward()
    assert weight.grad is not None
    assert weight.grad.abs().min() > 0
    assert body.weights["w"].grad is None


def test_an_unknown_operator_is_refused_by_its_name() -> None:
    proto = model([node("GridSample", "x x")], [], 16)
    with pytest.raises(InputRefused, match="GridSample"):
        OpaqueBody(proto, "y")


def test_moments_are_those_of_the_windows() -> None:
    proto = model(*GRAPHS["convolution"][1:], 11)
    images = RNG.normal(size=(2, 3, 12, 10)).astype(np.float32)
    (found,) = input_moments(OpaqueBody(proto, "y"), [images, images]).values()
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.stack([
        padded[line, :, top : top + 3, left : left + 3].ravel()
        for line in range(2) for top in range(0, 12, 2) for left in range(10)
    ])  # fmt: skip
    np.testing.assert_allclose(found, 2 * windows.T @ windows, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["v6-small", "v4"])
def test_real_bodies(name: str) -> None:
    from hcompress.foreign.features import Features
    from hcompress.foreign.open import open_foreign

    opened = open_foreign(real_or_skip(name))
    body = OpaqueBody(opened.proto, opened.classifier.features)
    images = np.clip(RNG.normal(size=(1, 3, 48, 160)), -1, 1).astype(np.float32)
    wanted = Features(opened).run(images)
    with torch.no_grad():
        made = body(torch.from_numpy(images)).numpy()
    assert np.abs(made - wanted).max() < 1e-2 * np.abs(wanted).max()


@pytest.mark.parametrize(
    ("kind", "given", "what"),
    [
        ("MaxPool", {"dilations": [2, 2]}, "dilations"),
        ("AveragePool", {"auto_pad": "SAME_UPPER"}, "uneven pads"),
    ],
)
def test_pools_that_torch_has_not_are_refused(kind: str, given: dict[str, Any], what: str) -> None:
    proto = model([node(kind, "x", kernel_shape=[2, 2], **given)], [], 11)
    with pytest.raises(InputRefused, match=what):
        OpaqueBody(proto, "y")(torch.zeros(1, 3, 12, 11))
