"""What a user says of a foreign recogniser that its file does not say. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final


class Blank(StrEnum):
    """Which class is CTC's blank."""

    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True)
class ImportOptions:
    """All that can be said; None: as it is found."""

    charset: Path | None = None
    """A file that lists the classes."""
    charset_list: str | None = None
    """The name of the list, of a file that has several."""
    preprocessing: str | None = None
    """A name in `hcompress.foreign.inputs.PREPROCESSINGS`."""
    blank: Blank | None = None
    arch: str | None = None
    """Of a checkpoint, a name in `hcompress.foreign.checkpoints.known.ARCHITECTURES`."""


@dataclass(frozen=True)
class Asked:
    """What an encoder–decoder's checkpoint does not say; None: as published."""

    heads: int | None = None
    max_steps: int | None = None
    image_width: int | None = None


def split_charset(text: str) -> tuple[Path, str | None]:
    """What `--charset` says: FILE, or FILE:NAME for one of several lists in it."""
    if ":" in text and not Path(text).exists():
        file, _, name = text.rpartition(":")
        return Path(file), name
    return Path(text), None


AS_FOUND: Final = ImportOptions()
