"""Choices of the stages that compress, torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hcompress.spec.config import BatchNorm, RecogniserConfig


class Scale(StrEnum):
    """How a channel's scale is chosen."""

    LEAST_ERROR = "least-error"
    """So that the output, or without data the weight, moves least: a few may be clipped."""
    MAX_ABS = "max-abs"
    """So that nothing is clipped."""


class SharedFrom(StrEnum):
    """Which layer every layer becomes."""

    FIRST = "first"
    MIDDLE = "middle"
    LAST = "last"
    MEAN = "mean"


@dataclass(frozen=True)
class Parts:
    """What `regrow` may give back."""

    matrices: bool = True
    layers: bool = True
    ffn: bool = True
    batch_norm: bool = True

    def measured(self, config: RecogniserConfig) -> bool:
        """Whether one of them, batch normalisation, has to be measured on images."""
        return self.batch_norm and config.batch_norm is BatchNorm.FOLDED
