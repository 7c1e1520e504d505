"""What tells the decoder where in the image a place of its memory is: each backbone's own way.

L = memory positions, d = width.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import torch
from torch import Tensor

from hcompress.recognisers.attention import sinusoid
from hcompress.spec.config import Backbone, TransformerConfig


class Positions(StrEnum):
    """What is added to the backbone's features."""

    GRID = "grid"
    """Half of them tell the row, half the column."""
    LINE = "line"
    """A place's number, row after row."""
    INSIDE = "inside"
    """Nothing: the backbone has told them apart."""


_KINDS: Final = {
    Backbone.MAGC_RESNET31: Positions.LINE,
    Backbone.MAGC_RESNET31_LINEAR: Positions.LINE,
    Backbone.NRTR: Positions.INSIDE,
}


def kind_of_positions(config: TransformerConfig) -> Positions:
    """Which a recogniser has."""
    return _KINDS.get(config.backbone, Positions.GRID)


def memory_positions(config: TransformerConfig) -> Tensor:
    """[L, d]."""
    rows, columns = config.memory_grid
    kind = kind_of_positions(config)
    if kind is Positions.LINE:
        return sinusoid(rows * columns, config.width)
    if kind is Positions.INSIDE:
        return torch.zeros(rows * columns, config.width)
    half = config.width // 2  # kept as two small tables' sum
    row = sinusoid(rows, half)[:, None].expand(rows, columns, half)
    column = sinusoid(columns, half)[None].expand(rows, columns, half)
    return torch.cat([row, column], dim=-1).flatten(0, 1).contiguous()
