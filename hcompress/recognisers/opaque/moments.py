"""What the products of a body are given: the second moments of their inputs, over many images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hcompress.recognisers.opaque.operators import padded
from hcompress.recognisers.opaque.shape_operators import Attributes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.recognisers.opaque.body import OpaqueBody


def input_moments(
    body: OpaqueBody, batches: Sequence[NDArray[np.float32]]
) -> dict[str, NDArray[np.float64]]:
    """By weight, the sum of x xᵀ [columns, columns] over everything that it is multiplied with.

    ``batches`` are inputs [N, C, H, W]. Columns are a weight's as `rows_of` has them. Depthwise
    convolutions have none: each of their rows has inputs of its own.
    """
    found: dict[str, NDArray[np.float64]] = {}
    most = places_each(batches)

    def seen(name: str, kind: str, given: Attributes, x: Tensor) -> None:
        inputs = product_inputs(kind, given, x, body.weights[name], most)
        if inputs is not None:
            moment = (inputs.T @ inputs).double().numpy()
            found[name] = found[name] + moment if name in found else moment

    with torch.no_grad():
        for images in batches:
            body(torch.from_numpy(images), None, seen)
    return found


PLACES: Final = 65_536
"""Of all places of all batches, how many are looked at: an early layer has a hundred times as
many, all alike, and none needs more."""


def places_each(batches: Sequence[object]) -> int:
    """How many places of each batch are looked at."""
    return max(1, PLACES // max(1, len(batches)))


def product_inputs(
    kind: str, given: Attributes, x: Tensor, weight: Tensor, most: int
) -> Tensor | None:
    """What a weight is multiplied with at ``most`` places, [places, columns].

    None of depthwise convolutions: each of their rows has inputs of its own.
    """
    if kind == "Conv":
        if given.get("group", 1) != 1 or weight.dim() != 4:
            return None
        kernel = tuple(weight.shape[2:])
        x, pads = padded(x, kernel, given, 0.0)
        windows = functional.unfold(
            x,
            kernel,
            dilation=_pair(given.get("dilations", [1, 1])),
            padding=_pair(pads),
            stride=_pair(given.get("strides", [1, 1])),
        )
        return _some(windows.transpose(1, 2).reshape(-1, windows.shape[1]), most)
    return _some(x.reshape(-1, x.shape[-1]), most) if weight.dim() == 2 else None


def _some(inputs: Tensor, most: int) -> Tensor:
    """Rows all over it; the same ones of any inputs as many."""
    return inputs[:: -(-len(inputs) // most)]


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return values[0], values[1]


def turned(kind: str, given: Attributes) -> bool:
    """Whether a product takes its weight as [columns, rows]."""
    return kind == "MatMul" or (kind == "Gemm" and not given.get("transB", 0))


def rows_of(weight: NDArray[np.float32], is_turned: bool) -> NDArray[np.float32]:
    """A weight as [rows, columns], an output channel a row."""
    if is_turned:
        return np.ascontiguousarray(weight.T)
    return (
        weight.reshape(-1, weight.shape[-1])
        if weight.ndim == 3
        else weight.reshape(weight.shape[0], -1)
    )
