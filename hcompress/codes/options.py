"""Choices of the stages that make codes, torch-free."""

from __future__ import annotations

from enum import StrEnum


class Method(StrEnum):
    """Where codes come from."""

    LSH = "lsh"
    """The teacher's features of labelled images, by majority vote."""
    COLUMNS = "columns"
    """The softmax columns: no data at all."""
    WHITENED = "whitened"
    """The softmax columns, where the features of labelled images scatter alike to every side."""
    RANDOM = "random"
    """Chance: the control of the paper's Table 3."""


class Ballot(StrEnum):
    """What one image says of a bit."""

    MEAN = "mean"
    """Its bit logit, up to 1: the margin beyond which the hinge loss asks for no more."""
    VOTES = "votes"
    """Its bit alone, as in Eq. 4."""
