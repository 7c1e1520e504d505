"""Choices of the stages that compress, torch-free."""

from __future__ import annotations

from enum import StrEnum


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
