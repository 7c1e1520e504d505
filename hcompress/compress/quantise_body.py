"""The weights of an opaque body in few bits: rounded so that its own answers stay.

Products with a weight get whole numbers, a scale a group of inputs; depthwise convolutions, of few
weights and sensitive, 8 bits a channel; vectors FP16. The rest of the graph stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from hcompress.compute.rounding import group_size, rounded
from hcompress.errors import InputRefused
from hcompress.foreign.edit import Stored, with_stored
from hcompress.onnx_writer.packed import Halves, Ints
from hcompress.recognisers.opaque.body import OpaqueBody
from hcompress.recognisers.opaque.moments import input_moments, rows_of, turned

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


def quantised_body(
    model: ForeignModel,
    bits: int,
    group: int,
    lines: Iterable[NDArray[np.float32]] | None,
    progress: Progress,
    by_weight: Mapping[str, int] | None = None,
) -> dict[str, Stored]:
    """How each weight of the body is stored, by its name.

    ``lines`` are inputs [N, C, H, W] of any text: errors are made good for what the products are
    given there. None: each number is rounded by itself. ``by_weight`` gives some weights other
    bits.
    """
    body = OpaqueBody(model.proto, model.classifier.features)
    progress.say(f"rounding to {bits} bits")
    moments = {} if lines is None else input_moments(body, lines)
    stored = {}
    products = body.products()
    progress.start("rounding", len(products))
    for name, (kind, given) in products.items():
        progress.advance(1)
        weight = body.weights[name].numpy()
        if weight.ndim < 2 or not np.issubdtype(weight.dtype, np.floating):
            continue
        careful = weight.size < SMALL or (kind == "Conv" and given.get("group", 1) != 1)
        wanted = CAREFUL if careful else (by_weight or {}).get(name, bits)
        stored[name] = packed(weight, turned(kind, given), wanted, group, moments.get(name))
    for name in _recurrent(model):
        weight = body.weights[name].numpy()
        stored[name] = packed(weight, False, (by_weight or {}).get(name, bits), group, None)
    progress.finish()
    stored |= vectors(model, frozenset(stored))
    return stored


def with_body(stored: ModelProto, held: Mapping[str, Stored]) -> ModelProto:
    """The stored graph with its body's weights held so. Raises InputRefused if they are already."""
    floats = {one.name for one in stored.graph.initializer}
    if not floats.issuperset(held):
        raise InputRefused(
            "the body is in few bits already: start from the file that it was made from"
        )
    return with_stored(stored, held)


def packed(
    weight: NDArray[np.float32],
    is_turned: bool,
    bits: int,
    group: int,
    moment: NDArray[np.float64] | None,
) -> Stored:
    """One weight in whole numbers; 8 bits if its rows divide into no groups of about that size."""
    matrix = rows_of(weight, is_turned)
    columns = matrix.shape[1]
    size = columns if bits == CAREFUL else group_size(columns, group)
    if size > 2 * group and bits < CAREFUL:
        bits = CAREFUL
    made = rounded(matrix, bits, size, moment)
    return Stored(Ints(made.values, made.scales, bits), weight.shape, is_turned)


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
