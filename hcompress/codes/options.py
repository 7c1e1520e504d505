"""Choices of what makes, moves and adds codes, torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from hcompress.charset import UnknownCharacter
from hcompress.data.options import Workers
from hcompress.errors import UsageError
from hcompress.strict.schema import Param

MinDistance = Annotated[
    float, Param("share of the bits in which any two codes differ, at least", 0, 0.5)
]


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


@dataclass(frozen=True)
class Looking:
    """How labelled images are looked at."""

    images: int
    """So many of the data, by chance."""
    batch: int
    unknown: UnknownCharacter
    workers: int


@dataclass(frozen=True)
class CodebookOptions:
    """How a codebook is made. Raises UsageError if its codes don't fill whole bytes."""

    method: Method
    code_length: int
    """K."""
    min_distance: float
    """As `MinDistance`."""
    seed: int

    def __post_init__(self) -> None:
        if self.code_length % 8:
            raise UsageError(f"code_length {self.code_length} must be a multiple of 8")


@dataclass(frozen=True, kw_only=True)
class ExtendOptions:
    """How new characters come to their codes."""

    data: Annotated[
        Path, Param("labelled images: lines that have the new characters in them", data=True)
    ]
    characters: Annotated[
        Path | None,
        Param("UTF-8 file of the new characters; without: those of the labels that it lacks"),
    ] = None
    images: Annotated[int, Param("times that a new character is looked at", 1)] = 5
    lines: Annotated[int, Param("lines of the data that are looked through", 1)] = 4096
    ballot: Annotated[
        Ballot, Param("what an image says of a bit: its logit, or which side it is on")
    ] = Ballot.MEAN
    apart: Annotated[
        int | None,
        Param("bits by which a new code differs from every other; without: one in 64", 1, 4096),
    ] = None
    batch: Annotated[int, Param("images at once; part of the result's identity", 1)] = 16
    unknown: Annotated[
        UnknownCharacter, Param("what a character neither known nor to be added does")
    ] = UnknownCharacter.REFUSE
    workers: Workers = 0
