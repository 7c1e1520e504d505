"""ONNX operators on shapes and places, in torch: nothing is multiplied here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from hcompress.errors import InputRefused

Attributes = Mapping[str, Any]
Operator = Callable[[Attributes, Sequence[Any]], Tensor]


def numbers_of(value: Tensor) -> list[int]:
    return [int(one) for one in value.reshape(-1).tolist()]


def axes_of(given: Attributes, inputs: Sequence[Any]) -> list[int] | None:
    """An attribute up to opset 12, an input since 13."""
    if len(inputs) > 1 and inputs[1] is not None:
        return numbers_of(inputs[1])
    return list(given["axes"]) if "axes" in given else None


def reshaped(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    asked = numbers_of(inputs[1])
    if not given.get("allowzero", 0):
        asked = [inputs[0].shape[i] if size == 0 else size for i, size in enumerate(asked)]
    made: Tensor = inputs[0].reshape(asked)
    return made


def sliced(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    made: Tensor = inputs[0]
    if "starts" in given:
        starts, ends = list(given["starts"]), list(given["ends"])
        axes, steps = list(given.get("axes", range(len(starts)))), [1] * len(starts)
    else:
        starts, ends = numbers_of(inputs[1]), numbers_of(inputs[2])
        there = [one for one in (*inputs[3:], None, None)][:2]
        axes = list(range(len(starts))) if there[0] is None else numbers_of(there[0])
        steps = [1] * len(starts) if there[1] is None else numbers_of(there[1])
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = made.shape[axis]
        places = range(size)[slice(start, None if step < 0 and end < -size else end, step)]
        if step == 1:
            made = made.narrow(axis, places.start, len(places))
        else:
            made = made.index_select(axis, torch.tensor(list(places), dtype=torch.int64))
    return made


def squeezed(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    axes = axes_of(given, inputs)
    made: Tensor = inputs[0].squeeze() if axes is None else inputs[0].squeeze(tuple(axes))
    return made


def unsqueezed(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    made: Tensor = inputs[0]
    axes = axes_of(given, inputs) or []
    final = made.dim() + len(axes)
    for axis in sorted(axis % final for axis in axes):
        made = made.unsqueeze(axis)
    return made


def reduced(how: Callable[..., Tensor]) -> Operator:
    def run(given: Attributes, inputs: Sequence[Any]) -> Tensor:
        axes = axes_of(given, inputs)
        keep = bool(given.get("keepdims", 1))
        return how(inputs[0], axes or list(range(inputs[0].dim())), keep)

    return run


def gathered(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    data, places = inputs[0], inputs[1].long()
    axis = given.get("axis", 0) % data.dim()
    size = data.shape[axis]
    picked = data.index_select(axis, (places.reshape(-1) + size) % size)
    shape = (*data.shape[:axis], *places.shape, *data.shape[axis + 1 :])
    made: Tensor = picked.reshape(shape)
    return made


def shape_of(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    return torch.tensor(inputs[0].shape)[given.get("start", 0) : given.get("end")]


def filled(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    value = given.get("value")
    filling = torch.zeros(1) if value is None else value
    return filling.reshape(()).expand(numbers_of(inputs[0])).clone()


def padded_by(given: Attributes, inputs: Sequence[Any]) -> Tensor:
    pads = list(given["pads"]) if "pads" in given else numbers_of(inputs[1])
    value = given.get("value", 0.0)
    if len(inputs) > 2 and inputs[2] is not None:
        value = float(inputs[2])
    if given.get("mode", b"constant") != b"constant":
        raise InputRefused("a Pad that is not constant")
    half = len(pads) // 2
    pairs = zip(reversed(pads[:half]), reversed(pads[half:]), strict=True)
    return functional.pad(inputs[0], [side for pair in pairs for side in pair], value=value)
