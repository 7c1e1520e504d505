"""What the weights of an LSTM are multiplied with: its input, and its own states a step before.

T steps, N lines, H hidden numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hcompress.recognisers.opaque.operators import OPERATORS
from hcompress.recognisers.opaque.shape_operators import Attributes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.recognisers.opaque.body import Call, OpaqueBody

RECURRENT = "LSTM"


def recurrent_inputs(given: Attributes, inputs: Sequence[Any]) -> tuple[Tensor, Tensor]:
    """Of W, x [1, T N, inputs], whose directions share it; of R, h [directions, T N, H].

    ``inputs`` are the node's. The second direction runs from the end: what it had a step before
    stands a place behind.
    """
    x, recurrent = inputs[0], inputs[2]
    states = OPERATORS[RECURRENT](given, inputs).transpose(0, 1)  # [directions, T, N, H]
    start = inputs[5] if len(inputs) > 5 and inputs[5] is not None else states.new_zeros(())
    begin = start.expand(len(states), *states.shape[2:])[:, None]
    before = torch.cat([begin, states[:, :-1]], 1)
    if len(states) == 2:
        behind = torch.cat([states[:, 1:], begin], 1)
        before = torch.stack([before[0], behind[1]])
    return x.reshape(1, -1, x.shape[-1]), before.reshape(len(states), -1, recurrent.shape[2])


def recurrent_moments(
    body: OpaqueBody, batches: Iterable[NDArray[np.float32]]
) -> dict[str, NDArray[np.float64]]:
    """By weight of the graph, the sum of x xᵀ or h hᵀ [1 or directions, columns, columns].

    ``batches`` are inputs [N, C, H, W].
    """
    found: dict[str, NDArray[np.float64]] = {}
    with torch.no_grad():
        for images in batches:
            values = body.given(torch.from_numpy(images))
            for call in body.calls:
                if call.kind == RECURRENT:
                    _add(found, body, call, values)
                call.step(values)
    return found


def _add(
    found: dict[str, NDArray[np.float64]], body: OpaqueBody, call: Call, values: dict[str, Any]
) -> None:
    met = recurrent_inputs(call.given, [values[name] for name in call.inputs])
    for name, inputs in zip(call.inputs[1:3], met, strict=True):
        if name in body.weights:
            moment = (inputs.transpose(1, 2) @ inputs).double().numpy()
            found[name] = found[name] + moment if name in found else moment
