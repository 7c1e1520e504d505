"""What the codebook stage said of its codes: nearest neighbours as in the paper's Figure 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hcompress.reports.model import Codes, Neighbour, StageEntry
from hcompress.strict.json import Fields

SHOWN: Final = 24
"""How many characters a page lists with their neighbours."""
_SHOWN_APART: Final = ("code_length", "nearest")


def read_codes(stages: Sequence[StageEntry]) -> Codes | None:
    """From the first stage that reports nearest codes; None where no stage does.

    Raises InputRefused where that report is malformed.
    """
    for entry in stages:
        if "nearest" in entry.figures:
            return _read(Fields(dict(entry.figures), f"{entry.folder}: report"))
    return None


def _read(raw: Fields) -> Codes:
    return Codes(
        code_length=raw.whole("code_length"),
        nearest=tuple(
            (row.text("character"), _neighbours(row.tables("neighbours")))
            for row in raw.tables("nearest")[:SHOWN]
        ),
        figures={key: value for key, value in raw.raw.items() if key not in _SHOWN_APART},
    )


def _neighbours(rows: Sequence[Fields]) -> tuple[Neighbour, ...]:
    return tuple(Neighbour(row.text("character"), row.whole("distance")) for row in rows)
