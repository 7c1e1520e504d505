"""A body twice, side by side: as it is, and with weights that are replaced as their turn comes.

What replaces a weight can thus make good what those before it have already changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from hcompress.recognisers.opaque.moments import places_each, product_inputs

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from hcompress.recognisers.opaque.body import Call, OpaqueBody


class Met(NamedTuple):
    """What a product's weight is multiplied with, summed over many places."""

    moment: NDArray[np.float64]
    """x̃ x̃ᵀ [columns, columns], of inputs as the changed body has them."""
    cross: NDArray[np.float64]
    """x x̃ᵀ [columns, columns], with those of the body as it is on the left."""


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
            if body.is_product(call) and call.inputs[1] not in asked:
                name = call.inputs[1]
                asked.add(name)
                new = replace(name, _met(body, call, plain, changed))
                if new is not None:
                    for values in changed:
                        values[name] = new
            for values in (*plain, *changed):
                call.step(values)


def _met(
    body: OpaqueBody,
    call: Call,
    plain: Sequence[dict[str, Tensor]],
    changed: Sequence[dict[str, Tensor]],
) -> Met | None:
    """The sums for one product; None where rows have inputs of their own."""
    found: Met | None = None
    source, weight = call.inputs[0], body.weights[call.inputs[1]]
    most = places_each(plain)
    for before, after in zip(plain, changed, strict=True):
        x = product_inputs(call.kind, call.given, before[source], weight, most)
        moved = product_inputs(call.kind, call.given, after[source], weight, most)
        if x is None or moved is None:
            return None
        moment, cross = (moved.T @ moved).double().numpy(), (x.T @ moved).double().numpy()
        found = Met(moment, cross) if found is None else Met(found[0] + moment, found[1] + cross)
    return found
