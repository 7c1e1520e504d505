"""Teacher forcing with ids that a test chose."""

from __future__ import annotations

from torch import Tensor

from hcompress.recognisers.contract import Targets
from tests.special import PAD


def forced(inputs: Tensor, ids: Tensor | None = None) -> Targets:
    """What gives a decoder ``inputs`` and asks for ``ids``, or whatever if None; both [N, T]."""
    ids = inputs if ids is None else ids
    return Targets(inputs, ids, ids != PAD)
