"""A recogniser small enough to see through: stripes of red, green and blue are r, g and b."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from PIL import Image

STEP = 8
"""Pixels a frame."""
CLASSES = ("", "r", "g", "b")
WEIGHT = 10 * np.array([[0, -1, -1, 1], [0, -1, 1, -1], [0, 1, -1, -1]], np.float32)
"""[3, V]: channels come as blue, green, red, from -1 to 1."""
BIAS = np.array([15, 0, 0, 0], np.float32)
"""What is white, black or grey is blank."""


def tensor(name: str, value: Any, kind: Any = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.asarray(value, kind), name)


def model(
    nodes: Sequence[NodeProto],
    held: Sequence[TensorProto],
    output: Sequence[int | str] = ("N", "T", "V"),
    size: Sequence[int | str | None] = ("N", 3, 48, "W"),
    opset: int = 12,
    metadata: Mapping[str, str] | None = None,
) -> ModelProto:
    """A model from `x` to `y`."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(size))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(output))],
        list(held),
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    helper.set_model_props(made, dict(metadata or {}))
    return made


def features(height: int = 48) -> list[NodeProto]:
    """From `x` to `h`, [N, T, 3]: the mean of each stripe of eight pixels."""
    return [
        helper.make_node(
            "AveragePool", ["x"], ["p"], kernel_shape=[height, STEP], strides=[height, STEP]
        ),
        helper.make_node("Squeeze", ["p"], ["s"], axes=[2]),
        helper.make_node("Transpose", ["s"], ["h"], perm=[0, 2, 1]),
    ]


def recogniser(metadata: str | None = "r\ng\nb", **given: Any) -> ModelProto:
    """MatMul, Add and Softmax, as PP-OCR has them."""
    nodes = [
        *features(),
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Softmax", ["a"], ["y"], axis=2),
    ]
    said = {} if metadata is None else {"character": metadata}
    return model(nodes, [tensor("w", WEIGHT), tensor("b", BIAS)], metadata=said, **given)


WIDE = 16
"""Features of `deep`."""


def deep(metadata: str = "r\ng\nb") -> ModelProto:
    """As `recogniser`, behind a convolution: a body with weights, and 16 features."""
    rng = np.random.Generator(np.random.PCG64(3))
    mixed = rng.standard_normal((WIDE, 3)).astype(np.float32)
    back = np.linalg.pinv(mixed).T.astype(np.float32)  # [16, 3]: what was mixed comes out again
    nodes = [
        helper.make_node("Conv", ["x", "c"], ["v"], kernel_shape=[1, 1]),
        *features(),
        helper.make_node("MatMul", ["h", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Softmax", ["a"], ["y"], axis=2),
    ]
    nodes[1].input[0] = "v"
    held = [tensor("c", mixed[:, :, None, None]), tensor("w", back @ WEIGHT), tensor("b", BIAS)]
    return model(nodes, held, metadata={"character": metadata})


def many(count: int = 40) -> ModelProto:
    """As `deep`, with ideographs for further classes up to ``count``: each is near r, g or b, and
    below it."""
    made = deep("\n".join([*"rgb", *(chr(0x4E00 + i) for i in range(count - 4))]))
    held = {one.name: one for one in made.graph.initializer}
    rng = np.random.Generator(np.random.PCG64(4))
    weight, bias = (numpy_helper.to_array(held[name]) for name in "wb")
    near = 1 + np.arange(count - 4) % 3
    noise = rng.standard_normal((WIDE, count - 4)).astype(np.float32)
    held["w"].CopyFrom(tensor("w", np.concatenate([weight, weight[:, near] + 0.1 * noise], 1)))
    held["b"].CopyFrom(tensor("b", np.concatenate([bias, np.full(count - 4, -12)])))
    made.graph.output[0].type.tensor_type.shape.dim[2].dim_value = count
    return made


def striped(folder: Path, count: int) -> Path:
    """A label file of ``count`` images of stripes."""
    rng = np.random.Generator(np.random.PCG64(5))
    lines = []
    for number in range(count):
        text = "".join(rng.choice(list("rgb"), 2 + number % 4))
        Image.fromarray(stripes(text)).save(folder / f"{number}.png")
        lines.append(f"{number}.png\t{text}\n")
    path = folder / "labels.tsv"
    path.write_text("".join(lines))
    return path


def saved(proto: ModelProto, folder: Path, name: str = "rec.onnx") -> Path:
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


COLOURS = {
    "r": (255, 0, 0), "g": (0, 255, 0), "b": (0, 0, 255), "y": (255, 255, 0), "c": (0, 255, 255),
}  # fmt: skip


def stripes(text: str, height: int = 48, pixels: int = 16) -> NDArray[np.uint8]:
    """An RGB image of coloured stripes, white between them."""
    columns = [np.full((height, pixels, 3), 255, np.uint8)]
    for character in text:
        columns.append(np.full((height, pixels, 3), COLOURS[character], np.uint8))
        columns.append(columns[0])
    return np.concatenate(columns, 1)
