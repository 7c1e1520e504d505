"""FP16 weights: what is rounded, what stays, and how far rounding moved it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from hcompress.errors import NumericalError, UsageError
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.rebuild import rebuilt, with_folded_batch_norm
from hcompress.spec.config import Weights
from hcompress.spec.refusals import check_fp32


def halved(
    model: Recogniser, keep: tuple[str, ...], *, fold: bool
) -> tuple[Recogniser, frozenset[str], dict[str, Any]]:
    """The model with rounded weights, the names of the tensors kept FP32, and a report.

    Raises UsageError where a prefix matches no tensor or the weights are FP16 already, and
    NumericalError naming a tensor whose values FP16 can't hold.
    """
    check_fp32(model.config)
    if fold:
        model = with_folded_batch_norm(model)
    state = model.state_dict()
    for prefix in keep:
        if not any(name.startswith(prefix) for name in state):
            raise UsageError(f"keep: no tensor's name starts with {prefix!r}")
    islands = frozenset(name for name in state if name.startswith(keep)) if keep else frozenset()
    rounded = {
        name: as_half(name, value)
        for name, value in state.items()
        if value.is_floating_point() and name not in islands
    }
    worst = max(
        ((_relative_error(state[name], value), name) for name, value in rounded.items()),
        default=(0.0, ""),
    )
    new = rebuilt(model, replace(model.config, weights=Weights.FP16), rounded)
    report = {
        "rounded": len(rounded),
        "kept": sorted(islands),
        "folded": fold,
        "worst_relative_error": {"tensor": worst[1], "error": worst[0]},
    }
    return new, islands, report


def as_half(name: str, value: Tensor) -> Tensor:
    """float32 that FP16 holds. Raises NumericalError where a value is beyond its range."""
    half = value.half().float()
    if not bool(torch.isfinite(half).all()):
        raise NumericalError(f"tensor {name}: {float(value.abs().max()):g} is beyond FP16's range")
    return half


def _relative_error(before: Tensor, after: Tensor) -> float:
    """Largest change, relative to the tensor's largest value."""
    largest = float(before.abs().max()) if before.numel() else 0.0
    return float((before - after).abs().max()) / largest if largest else 0.0
