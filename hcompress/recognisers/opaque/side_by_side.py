"""A body twice, side by side: as it is, and with weights that are replaced as their turn comes.

What replaces a weight can thus make good what those before it have already changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from hcompress.recognisers.opaque.moments import places_each, product_inputs
from hcompress.recognisers.opaque.recurrent import RECURRENT, recurrent_inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from hcompress.recognisers.opaque.body import Call, OpaqueBody


class Met(NamedTuple):
    """What a product's weight is multiplied with, summed over many places."""

    moment: NDArray[np.float64]
    """x̃ x̃ᵀ [columns, columns], of inputs as the changed body has them; of an LSTM's weight
    [parts, columns, columns], for equal parts of its rows."""
    cross: NDArray[np.float64]
    """x x̃ᵀ, of the same shape, with those of the body as it is on the left."""


Replace = Callable[[str, Met | None], "Tensor | None"]
"""A weight's name and its inputs (None if they are not known) -> what stands for it from there."""


def side_by_side(
    body: OpaqueBody, batches: Sequence[NDArray[np.float32]], replace: Replace
) -> None:
    """Walk through the body once for all batches [N, C, H, W] together.

    ``replace`` is asked once a weight, in the order in which the graph multiplies.
    """
    plain = [body.given(torch.from_numpy(images)) for images in batches]
    changed = [dict(values) for values in plain]
    asked: set[str] = set()
    with torch.no_grad():
        for call in body.calls:
            for place in _weights(body, call):
                name = call.inputs[place]
                if name in asked:
                    continue
                asked.add(name)
                new = replace(name, _met(body, call, place, plain, changed))
                if new is not None:
                    for values in changed:
                        values[name] = new
            for values in (*plain, *changed):
                call.step(values)


def _weights(body: OpaqueBody, call: Call) -> tuple[int, ...]:
    """Which inputs of a call are weights that it multiplies with."""
    if call.kind == RECURRENT:
        return tuple(place for place in (1, 2) if call.inputs[place] in body.weights)
    return (1,) if body.is_product(call) else ()


def _met(
    body: OpaqueBody,
    call: Call,
    place: int,
    plain: Sequence[dict[str, Tensor]],
    changed: Sequence[dict[str, Tensor]],
) -> Met | None:
    """The sums for one weight; None where rows have inputs of their own."""
    found: Met | None = None
    most = places_each(plain)
    for before, after in zip(plain, changed, strict=True):
        x, moved = (_given(body, call, place, values, most) for values in (before, after))
        if x is None or moved is None:
            return None
        turned = moved.transpose(-2, -1)
        moment = (turned @ moved).double().numpy()
        cross = (x.transpose(-2, -1) @ moved).double().numpy()
        found = Met(moment, cross) if found is None else Met(found[0] + moment, found[1] + cross)
    return found


def _given(
    body: OpaqueBody, call: Call, place: int, values: dict[str, Tensor], most: int
) -> Tensor | None:
    """What a weight is multiplied with, [places, columns]; an LSTM's [parts, places, columns]."""
    inputs = [values[name] for name in call.inputs]
    if call.kind == RECURRENT:
        return recurrent_inputs(call.given, inputs)[place - 1]
    weight = body.weights[call.inputs[place]]
    return product_inputs(call.kind, call.given, inputs[0], weight, most)
