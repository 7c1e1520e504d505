"""What each class stands for, and which is the blank: from what the file or its user says.

V is the number of classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hcompress.errors import InputRefused
from hcompress.foreign.charset_file import beside, charset_list
from hcompress.foreign.options import Blank, ImportOptions
from hcompress.spec.foreign import Answers
from hcompress.spec.foreign_header import CHARACTERS, check_classes, lines_of, listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLANKS: Final = ("", "blank", "<blank>", "[blank]", "<blk>", "_blank_", "[ctcblank]")
"""What a list calls the blank, if it has a place for it."""


@dataclass(frozen=True)
class Listing:
    """A list of classes, and where it was found."""

    entries: list[str]
    source: str


@dataclass(frozen=True)
class Classes:
    """What each class stands for, the blank's empty, and how both were found."""

    classes: tuple[str, ...]
    blank: int
    source: str
    blank_how: str


def find_listing(
    count: int, asked: ImportOptions, said: str | None, model: Path, where: str
) -> Listing:
    """The list that was asked for, or the file's own under `character`, or one beside it.

    Raises InputRefused if there is none whose length fits, or there are several.
    """
    if asked.charset is not None:
        entries = charset_list(asked.charset, asked.charset_list, count)
        named = "" if asked.charset_list is None else f":{asked.charset_list}"
        return Listing(entries, f"--charset {asked.charset.name}{named}")
    if said is not None:
        for entries in (lines_of(said), said.splitlines()):
            if count - 2 <= len(entries) <= count:
                return Listing(entries, f'metadata "{CHARACTERS}"')
    found = beside(model, count)
    if len({tuple(one) for one in found.values()}) == 1:
        name, entries = next(iter(found.items()))
        return Listing(entries, f"{Path(name).name} beside the model, whose length fits")
    if found:
        raise InputRefused(
            f"{where}: several lists beside it fit its {count:,} classes: name one:"
            f" --charset {' or '.join(found)}"
        )
    metadata = "" if said is None else f", and its metadata lists {len(lines_of(said)):,}"
    raise InputRefused(
        f"{where}: what its {count:,} classes stand for is not in the file{metadata}: name their"
        " list with --charset FILE"
    )


def name_classes(
    listing: Listing, count: int, blank: Blank | None, measured: int | None, where: str
) -> Classes:
    """The classes of a list that has ``count`` entries, or one less (blank), or two (space too).

    ``measured`` is the class that the model answers where there is nothing to read. Raises
    InputRefused if the blank cannot be told, or the list has another length.
    """
    entries = listing.entries
    length = len(entries)
    if not count - 2 <= length <= count:
        raise InputRefused(
            f"{where}: {listing.source} has {length:,} entries for {count:,} classes: a list of"
            f" {count - 2:,} to {count:,} is needed: name it with --charset FILE"
        )
    place, how = _blank(entries, count, blank, measured, where)
    classes = listed(entries, count, place)
    assert classes is not None
    check_classes(classes, count, place, f"{where}: {listing.source}")
    added = {0: "", 1: ", blank added", 2: ", blank and space added"}[count - length]
    return Classes(classes, place, listing.source + added, how)


def _blank(
    entries: Sequence[str], count: int, asked: Blank | None, measured: int | None, where: str
) -> tuple[int, str]:
    ends = {0: Blank.FIRST, count - 1: Blank.LAST}
    if asked is not None:
        return (0 if asked is Blank.FIRST else count - 1), f"--blank {asked}"
    if len(entries) == count:
        named = [place for place, one in enumerate(entries) if one.lower() in _BLANKS]
        if len(named) == 1:
            return named[0], "by its name in the list"
    if measured in ends:
        return measured, "measured: what it answers for an empty image"
    what = "which class is blank cannot be told"
    raise InputRefused(f"{where}: {what}: say --blank first or --blank last")


def answered(outputs: Iterable[NDArray[np.generic]], answers: Answers) -> int | None:
    """The class of most frames of images with nothing to read; None if no class has half."""
    counts: Counter[int] = Counter()
    for output in outputs:
        ids = output if answers is Answers.IDS else output.argmax(-1)
        counts.update(ids.reshape(-1).tolist())
    if not counts:
        return None
    best, frames = counts.most_common(1)[0]
    return best if 2 * frames >= counts.total() else None
