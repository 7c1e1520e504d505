"""A foreign recogniser, opened: the graph with named parts, and what it means.

N lines, T frames, V classes, d features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto, numpy_helper

from hcompress.spec.foreign import ForeignSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Classifier:
    """The last product onto V columns, by the names of its values in the graph."""

    features: str
    """What it is given: h, [..., d]; [N, d, ...] of a convolution."""
    scores: str
    """What it gives, bias added and nothing behind it: [..., V]."""
    weight: str
    """The initialiser that holds the classes."""
    bias: str | None
    """The initialiser that is added, [V]; None if there is none."""
    nodes: tuple[int, ...]
    """The nodes from `features` to `scores`, by their place in the graph."""
    rows: bool
    """The weight is [V, d], a row a class (Gemm with transB, Conv); else [d, V]."""
    classes: int
    """V."""
    width: int
    """d."""


@dataclass(frozen=True)
class ForeignModel:
    """A graph in which every weight is a float initialiser, and what it means.

    Constant nodes and vendors' int8 (Cast and Mul, DequantizeLinear) were made initialisers: what
    the graph computes is what the file did.
    """

    proto: ModelProto
    classifier: Classifier
    spec: ForeignSpec

    def initialisers(self) -> Mapping[str, NDArray[np.generic]]:
        """Every weight by its name."""
        return {one.name: numpy_helper.to_array(one) for one in self.proto.graph.initializer}

    def class_weights(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The classifier as it stands: weights [V, d] and biases [V]."""
        return class_weights(self.proto, self.classifier)


def class_weights(
    proto: ModelProto, part: Classifier
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A graph's classifier: weights [V, d] and biases [V]."""
    stored = {one.name: one for one in proto.graph.initializer}
    weight = numpy_helper.to_array(stored[part.weight]).astype(np.float32)
    weight = weight.reshape(part.classes, part.width) if part.rows else weight.T
    if part.bias is None:
        return weight, np.zeros(part.classes, np.float32)
    return weight, numpy_helper.to_array(stored[part.bias]).astype(np.float32).reshape(-1)
