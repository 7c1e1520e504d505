"""What the codebook stage said of its codes: nearest neighbours as in the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hcompress.reports.model import Codes, Neighbour, StageEntry
from hcompress.strict.read import read

SHOWN: Final = 24
"""How many characters a page lists with their neighbours."""
_SHOWN_APART: Final = ("code_length", "nearest")


@dataclass(frozen=True)
class _Nearest:
    """A character, and those whose codes are nearest to its own."""

    character: str
    neighbours: tuple[Neighbour, ...] = ()


@dataclass(frozen=True)
class _Report:
    code_length: int
    nearest: tuple[_Nearest, ...] = ()


def read_codes(stages: Sequence[StageEntry]) -> Codes | None:
    """From the first stage that reports nearest codes; None where no stage does.

    Raises InputRefused where that report is malformed.
    """
    entry = next((entry for entry in stages if "nearest" in entry.figures), None)
    if entry is None:
        return None
    found = read(_Report, entry.figures, f"{entry.folder}: report", only_known=False)
    return Codes(
        code_length=found.code_length,
        nearest=tuple((row.character, row.neighbours) for row in found.nearest[:SHOWN]),
        figures={key: value for key, value in entry.figures.items() if key not in _SHOWN_APART},
    )
