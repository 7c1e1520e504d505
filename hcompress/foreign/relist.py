"""A file's own list of its classes, rewritten for other classes in the form that it has.

PP-OCR's runtimes read `character` of a file's metadata, and add the blank before it and the space
behind. A list that names neither goes on doing so.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnx import ModelProto

from hcompress.errors import InputRefused
from hcompress.spec.foreign import ForeignSpec
from hcompress.spec.foreign_header import CHARACTERS, lines_of, listed


def listing_of(proto: ModelProto) -> str | None:
    """What a graph's metadata say under `character`."""
    return next((one.value for one in proto.metadata_props if one.key == CHARACTERS), None)


def end_of_listed(proto: ModelProto, spec: ForeignSpec) -> int:
    """Where a class can be put so that the list goes on as it does: before what it leaves out."""
    said = listing_of(proto)
    count, blank = len(spec.classes), spec.blank
    others = count - 1 if blank == count - 1 else count
    if (
        said is not None
        and len(_lines(said, count)) == count - 2
        and spec.classes[others - 1] == " "
    ):
        return others - 1
    return others


def with_listing(proto: ModelProto, old: ForeignSpec, new: ForeignSpec) -> ModelProto:
    """The graph, its list of classes that of the new ones; as it is if it has none that fits.

    Raises InputRefused if the list can't say them.
    """
    made = ModelProto()
    made.CopyFrom(proto)
    for one in made.metadata_props:
        if one.key == CHARACTERS:
            one.value = relisted(one.value, old, new)
    return made


def relisted(said: str, old: ForeignSpec, new: ForeignSpec) -> str:
    """The new classes in the old list's form: its line ends, with blank or without, with space or
    without. A list that doesn't fit the old classes stays as it is."""
    count = len(old.classes)
    lines = _lines(said, count)
    left_out = count - len(lines)
    if not 0 <= left_out <= 2:
        return said
    entries = list(new.classes)
    if left_out == 0:
        entries[new.blank] = lines[old.blank]
    else:
        del entries[new.blank]
    if left_out == 2 and entries.pop() != " ":
        raise InputRefused("its list leaves out the space at its end, where it must stay")
    broken = next((one for one in entries if "\n" in one or one.endswith("\r")), None)
    if broken is not None:
        raise InputRefused(f"its list holds a class a line: {broken!r} is none")
    end = "\r\n" if "\r\n" in said else "\n"
    made = end.join(entries) + (end if said.endswith("\n") else "")
    # A last class that reads as an empty line needs an end of its own.
    if listed(lines_of(made), len(new.classes), new.blank) != new.classes:
        made += end
    return made


def _lines(said: str, count: int) -> Sequence[str]:
    for lines in (lines_of(said), said.splitlines()):
        if count - 2 <= len(lines) <= count:
            return lines
    return lines_of(said)
