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
from torch.nn import functional

from hcompress.compress.body_options import FEWEST, SMALL
from hcompress.compute.bit_shares import LEAST, Weighed, bit_shares
from hcompress.compute.rounding import Rounded, corrected, group_size, rounded, suited
from hcompress.compute.threads import one_thread
from hcompress.errors import InputRefused
from hcompress.foreign.edit import Stored
from hcompress.onnx_writer.packed import Halves
from hcompress.onnx_writer.whole_numbers import Ints
from hcompress.recognisers.opaque.body import PRODUCTS, OpaqueBody
from hcompress.recognisers.opaque.moments import input_moments, rows_of, turned
from hcompress.recognisers.opaque.recurrent import recurrent_moments
from hcompress.recognisers.opaque.side_by_side import Met, side_by_side

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto
    from torch import Tensor

    from hcompress.foreign.model import ForeignModel
    from hcompress.progress import Progress

CAREFUL: Final = 8
"""Bits of what has few weights."""
SHOWN: Final = 32
"""Lines on which sensitivity is measured."""
HALF_MOST: Final = 60_000.0
"""FP16 ends at 65,504."""


@dataclass(frozen=True)
class Rounding:
    """How many bits a body's weights get."""

    bits: int
    group: int
    mean_bits: float | None = None
    """Of the weights that get no 8, in place of ``bits``: those that bear it best get fewer than
    others."""


@one_thread()  # sums over places are split among threads: their last bits would differ
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
    weights = _weights(model, body)
    bits = dict.fromkeys(weights, how.bits)
    if how.mean_bits is not None:
        bits |= _shares(body, weights, how, lines, progress)
    bits |= {name: CAREFUL for name, weight in weights.items() if weight.careful}
    progress.start("rounding", len(weights))
    stored: dict[str, Stored] = {}

    def replace(name: str, met: Met | None) -> Tensor | None:
        if name not in weights:
            return None
        stored[name] = weights[name].packed(bits[name], how.group, met)
        progress.advance(1)
        return torch.from_numpy(stored[name].floats())

    side_by_side(body, lines, replace)
    for name in [one for one in weights if one not in stored]:  # what no call multiplies with
        stored[name] = weights[name].packed(bits[name], how.group, None)
    progress.finish()
    stored |= vectors(model, frozenset(stored))
    return stored


@dataclass(frozen=True)
class _Weight:
    values: NDArray[np.float32]
    turned: bool
    careful: bool
    """It gets 8 bits."""

    def packed(self, bits: int, group: int, met: Met | None) -> Stored:
        """In whole numbers; 8 bits if its rows divide into no groups of about that size."""
        matrix = rows_of(self.values, self.turned)
        columns = matrix.shape[1]
        size = columns if bits == CAREFUL else group_size(columns, group)
        if size > 2 * group and bits < CAREFUL:
            bits = CAREFUL
        packed = Ints.of(_rounded(matrix, bits, size, met))
        return Stored(packed, self.values.shape, self.turned)


def _rounded(matrix: NDArray[np.float32], bits: int, size: int, met: Met | None) -> Rounded:
    """Corrected first. Each of its equal parts by itself where they have inputs of their own."""
    if met is None:
        return rounded(matrix, bits, size)
    if met.moment.ndim == 2:
        return rounded(corrected(matrix, met.moment, met.cross), bits, size, met.moment)
    parts = zip(np.split(matrix, len(met.moment)), met.moment, met.cross, strict=True)
    better = [corrected(part, moment, cross) for part, moment, cross in parts]
    held = suited(np.concatenate(better), bits, size)
    made = [
        rounded(part, bits, size, moment, held)
        for part, moment in zip(better, met.moment, strict=True)
    ]
    shares = [one.shares for one in made if one.shares is not None]
    return Rounded(
        np.concatenate([one.values for one in made]),
        np.concatenate([one.units for one in made]),
        np.concatenate(shares) if shares else None,
        held,
    )


def _weights(model: ForeignModel, body: OpaqueBody) -> dict[str, _Weight]:
    found = {}
    for name, (kind, given) in body.products().items():
        values = body.weights[name].numpy()
        if values.ndim < 2 or not np.issubdtype(values.dtype, np.floating):
            continue
        deep = kind == "Conv" and given.get("group", 1) != 1
        careful = deep or values.size < SMALL
        found[name] = _Weight(values, turned(kind, given), careful)
    for name in _recurrent(model):
        found[name] = _Weight(body.weights[name].numpy(), False, False)
    return found


def _shares(
    body: OpaqueBody,
    weights: Mapping[str, _Weight],
    how: Rounding,
    lines: Sequence[NDArray[np.float32]],
    progress: Progress,
) -> dict[str, int]:
    """Bits by how far the features move if a weight alone is rounded.

    Features, and not answers: what errors do to them adds up over weights, and every frame tells.
    """
    assert how.mean_bits is not None
    able = {name: one for name, one in weights.items() if not one.careful}
    moments = input_moments(body, lines) | recurrent_moments(body, lines)
    at = max(LEAST, round(how.mean_bits))
    harm = {}
    progress.start("sensitivity", len(able))
    shown = [torch.from_numpy(batch) for batch in lines[: max(1, SHOWN // len(lines[0]))]]
    with torch.no_grad():
        before = [body(images) for images in shown]
        for name, one in able.items():
            met = Met(moments[name], moments[name]) if name in moments else None
            tried = {name: torch.from_numpy(one.packed(at, how.group, met).floats())}
            pairs = zip(shown, before, strict=True)
            moved = sum(
                float(functional.mse_loss(body(images, tried), was)) for images, was in pairs
            )
            harm[name] = Weighed(one.values.size, moved)
            progress.advance(1)
    progress.finish()
    return bit_shares(harm, at, how.mean_bits)


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
