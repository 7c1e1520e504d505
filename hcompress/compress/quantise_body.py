"""The weights of an opaque body in few bits: rounded so that its own answers stay.

Products with a weight get whole numbers, a scale a group of inputs; depthwise convolutions, of few
weights and sensitive, 8 bits a channel; vectors FP16. The rest of the graph stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from hcompress.compute.rounding import Rounded, group_size, rounded
from hcompress.errors import InputRefused
from hcompress.foreign.edit import Stored
from hcompress.onnx_writer.packed import Halves, Ints
from hcompress.recognisers.opaque.body import PRODUCTS, OpaqueBody
from hcompress.recognisers.opaque.moments import input_moments, rows_of, turned
from hcompress.recognisers.opaque.recurrent import recurrent_moments

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

    from hcompress.foreign.model import ForeignModel
    from hcompress.progress import Progress

CAREFUL: Final = 8
"""Bits of what has few weights."""
SMALL: Final = 8192
"""Numbers of a weight below which fewer than 8 bits save next to nothing."""
FEWEST: Final = 24
"""Numbers of a vector below which FP16 saves less than its decoder costs."""
HALF_MOST: Final = 60_000.0
"""FP16 ends at 65,504."""


@dataclass(frozen=True)
class Rounding:
    """How many bits a body's weights get."""

    bits: int
    group: int
    mean_bits: float | None = None
    """Of the weights that get no 8: those that bear it best get a bit less than ``bits``, until
    this is the mean. None: no weight does."""


def quantised_body(
    model: ForeignModel,
    how: Rounding,
    lines: Sequence[NDArray[np.float32]],
    progress: Progress,
) -> dict[str, Stored]:
    """How each weight of the body is stored, by its name.

    ``lines`` are batches of inputs [N, C, H, W] of any text: errors are made good for what the
    products are given there. Without any each number is rounded by itself.
    """
    body = OpaqueBody(model.proto, model.classifier.features)
    progress.say(f"rounding to {how.mean_bits or how.bits:g} bits")
    moments = input_moments(body, lines) | recurrent_moments(body, lines)
    weights = _weights(model, body, moments)
    bits = dict.fromkeys(weights, how.bits)
    if how.mean_bits is not None:
        bits |= _fewer(body, weights, how, lines, progress)
    progress.start("rounding", len(weights))
    stored = {}
    for name, weight in weights.items():
        stored[name] = weight.packed(CAREFUL if weight.careful else bits[name], how.group)
        progress.advance(1)
    progress.finish()
    stored |= vectors(model, frozenset(stored))
    return stored


@dataclass(frozen=True)
class _Weight:
    values: NDArray[np.float32]
    turned: bool
    careful: bool
    """It gets 8 bits."""
    moment: NDArray[np.float64] | None

    def packed(self, bits: int, group: int) -> Stored:
        """In whole numbers; 8 bits if its rows divide into no groups of about that size."""
        matrix = rows_of(self.values, self.turned)
        columns = matrix.shape[1]
        size = columns if bits == CAREFUL else group_size(columns, group)
        if size > 2 * group and bits < CAREFUL:
            bits = CAREFUL
        made = _rounded(matrix, bits, size, self.moment)
        return Stored(Ints(made.values, made.scales, bits), self.values.shape, self.turned)


def _rounded(
    matrix: NDArray[np.float32], bits: int, size: int, moment: NDArray[np.float64] | None
) -> Rounded:
    """With a moment for each of the matrix' equal parts, one below the other, if it has more."""
    if moment is None or moment.ndim == 2:
        return rounded(matrix, bits, size, moment)
    parts = np.split(matrix, len(moment))
    made = [rounded(part, bits, size, one) for part, one in zip(parts, moment, strict=True)]
    return Rounded(*(np.concatenate(pair) for pair in zip(*made, strict=True)))


def _weights(
    model: ForeignModel, body: OpaqueBody, moments: Mapping[str, NDArray[np.float64]]
) -> dict[str, _Weight]:
    found = {}
    for name, (kind, given) in body.products().items():
        values = body.weights[name].numpy()
        if values.ndim < 2 or not np.issubdtype(values.dtype, np.floating):
            continue
        deep = kind == "Conv" and given.get("group", 1) != 1
        careful = deep or values.size < SMALL
        found[name] = _Weight(values, turned(kind, given), careful, moments.get(name))
    for name in _recurrent(model):
        found[name] = _Weight(body.weights[name].numpy(), False, False, moments.get(name))
    return found


def _fewer(
    body: OpaqueBody,
    weights: Mapping[str, _Weight],
    how: Rounding,
    lines: Sequence[NDArray[np.float32]],
    progress: Progress,
) -> dict[str, int]:
    """Which weights get a bit less: those whose rounding moves the features least a number."""
    assert how.mean_bits is not None
    able = {name: one for name, one in weights.items() if not one.careful}
    whole = sum(one.values.size for one in able.values())
    to_save = (how.bits - how.mean_bits) * whole
    harm = {}
    progress.start("sensitivity", len(able))
    with torch.no_grad():
        images = torch.from_numpy(lines[0])
        before = body(images)
        for name, one in able.items():
            tried = torch.from_numpy(one.packed(how.bits - 1, how.group).floats())
            after = body(images, {name: tried})
            harm[name] = float((after - before).square().mean()) / one.values.size
            progress.advance(1)
    progress.finish()
    found: dict[str, int] = {}
    for name in sorted(harm, key=lambda one: (harm[one], one)):
        if to_save < able[name].values.size:
            continue  # a smaller one may still fit
        to_save -= able[name].values.size
        found[name] = how.bits - 1
    return found


def check_floats(model: ForeignModel, stored: ModelProto) -> None:
    """Raises InputRefused if the stored graph holds weights of the body in few bits."""
    part = model.classifier
    packed = {one.name for one in model.proto.graph.initializer} - {
        part.weight, part.bias, *(one.name for one in stored.graph.initializer)
    }  # fmt: skip
    takers = (node for node in model.proto.graph.node if node.op_type in (*PRODUCTS, "LSTM"))
    if any(packed.intersection(node.input) for node in takers):
        raise InputRefused(
            "the body is in few bits already: start from the file that it was made from"
        )


def vectors(model: ForeignModel, others: frozenset[str]) -> dict[str, Stored]:
    """Biases, scales and shifts as FP16, where that saves something and they fit."""
    part, found = model.classifier, {}
    # A variance is divided by: rounded or trained it may come near zero.
    statistics = [
        name
        for node in model.proto.graph.node
        if node.op_type == "BatchNormalization"
        for name in node.input[3:5]
    ]
    fixed = {part.weight, part.bias, *statistics}
    for name, array in model.initialisers().items():
        if name in others or name in fixed or array.dtype != np.float32:
            continue
        if array.size >= FEWEST and float(np.abs(array).max()) < HALF_MOST:
            found[name] = Stored(Halves(array.astype(np.float16)), array.shape)
    return found


def _recurrent(model: ForeignModel) -> list[str]:
    """Weights of LSTMs, [directions, 4 hidden, inputs]."""
    held = {one.name for one in model.proto.graph.initializer}
    nodes = [node for node in model.proto.graph.node if node.op_type == "LSTM"]
    return [name for node in nodes for name in node.input[1:3] if name in held]
