"""What a user says of a foreign recogniser that its file does not say. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Blank(StrEnum):
    """Which class is CTC's blank."""

    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True)
class ImportOptions:
    """All that can be said; None: as it is found."""

    charset: str | None = None
    """A file that lists the classes, or FILE:NAME for one of several lists in it."""
    preprocessing: str | None = None
    """A name in `hcompress.foreign.inputs.PREPROCESSINGS`."""
    blank: Blank | None = None


AS_FOUND: Final = ImportOptions()
