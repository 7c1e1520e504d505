"""Choices of whatever looks at labelled images, torch-free."""

from __future__ import annotations

from typing import Annotated

from hcompress.charset import UnknownCharacter
from hcompress.strict.schema import MOST_BATCH, MOST_WORKERS, Param

Workers = Annotated[
    int,
    Param("processes that prepare images; they never change them", 0, MOST_WORKERS, keyed=False),
]
LookBatch = Annotated[int, Param("images at once; part of the result's identity", 1, MOST_BATCH)]
Unknown = Annotated[
    UnknownCharacter,
    Param("what a line does whose label has an unknown character, or that can't be read"),
]
