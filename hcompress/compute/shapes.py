"""Modules made for their shapes alone: to check a file against them before memory is taken."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def shapes_only() -> bool:
    """Whether the default device is torch's meta device, where tensors have no values.

    Arithmetic there makes torch import its compiler, which takes seconds: tables and first
    weights are left out if this is so.
    """
    return torch.get_default_device().type == "meta"


def fill_normal(weight: Tensor, spread: float) -> None:
    """First weights: normal, with this standard deviation."""
    if not shapes_only():
        nn.init.normal_(weight, std=spread)
