"""ONNX external data: plain files beside the model, and nowhere else."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from hcompress.errors import InputRefused
from hcompress.formats.layout import Piece
from hcompress.stand_in import START
from hcompress.strict.files import (
    USAGE,
    of_the_system,
    open_regular,
    quoted,
    refuse_stand_in,
    shown,
)

MAX_FILES = 10_000


class ExternalData:
    """The external tensors of one model, each region counted once.

    A location must be a relative name without ".." whose every part is a real folder or file:
    a link could lead anywhere, so none is followed.
    """

    def __init__(self, model: Path) -> None:
        self._model = model
        self._sizes: dict[str, int] = {}
        self._regions: dict[tuple[str, int, int], Piece] = {}

    @property
    def bytes(self) -> int:
        """Sizes of the external files together."""
        return sum(self._sizes.values())

    def add(self, name: str, elements: int, size: int, entry: Mapping[str, str]) -> None:
        """Note one tensor of ``size`` bytes. Raises InputRefused where it is not held there."""
        where = f"{shown(self._model)}: tensor {quoted(name)}"
        location = _plain(entry.get("location", ""), where)
        held = self._size(location, where)
        offset = _whole(entry.get("offset", "0"), f"{where}: external offset")
        length = _whole(entry.get("length", str(size)), f"{where}: external length")
        if length != size:
            raise InputRefused(f"{where}: needs {size} bytes, external data gives {length}")
        if offset + length > held:
            raise InputRefused(
                f"{where}: external data in {quoted(location)} ends at byte {held}, "
                f"the tensor at {offset + length}"
            )
        # Two tensors on one region share their weights.
        piece = Piece(name, elements, size, self._model.parent / location, offset)
        self._regions.setdefault((location, offset, length), piece)

    def pieces(self) -> tuple[Piece, ...]:
        """The regions in file order. Raises InputRefused where two overlap in part."""
        ordered = sorted(self._regions.items())
        last: dict[str, int] = {}
        for (location, offset, length), piece in ordered:
            if length and offset < last.get(location, 0):
                raise InputRefused(
                    f"{shown(self._model)}: tensor {quoted(piece.name)} overlaps another in "
                    f"{quoted(location)}"
                )
            last[location] = max(last.get(location, 0), offset + length)
        return tuple(piece for _, piece in ordered)

    def _size(self, location: str, where: str) -> int:
        known = self._sizes.get(location)
        if known is not None:
            return known
        if len(self._sizes) >= MAX_FILES:
            raise InputRefused(f"{shown(self._model)}: more than {MAX_FILES} external files")
        self._sizes[location] = _size_beneath(self._model, location, where)
        return self._sizes[location]


def _plain(location: str, where: str) -> str:
    """A location as a plain name below the model's folder: "./x" is "x".

    Raises InputRefused if it is none.
    """
    parts = [part for part in location.split("/") if part != "."]
    unsafe = not parts or any(part in ("", "..") for part in parts) or not location.isprintable()
    if unsafe or "\\" in location or ":" in location:
        raise InputRefused(
            f"{where}: external data {quoted(location)} is not a plain name in the model's "
            "folder: nothing was opened"
        )
    return "/".join(parts)


def _size_beneath(model: Path, location: str, where: str) -> int:
    """Size of a plain file below the model's folder; each part is looked at, no link followed."""
    place = model.parent
    parts = location.split("/")
    what = f"external data {quoted(location)}"
    for index, part in enumerate(parts):
        place = place / part
        try:
            status = os.lstat(place)
        except OSError as error:
            if error.errno not in USAGE:
                raise of_the_system(error) from None
            raise InputRefused(f"{where}: {what} is missing") from None
        if stat.S_ISLNK(status.st_mode):
            raise InputRefused(
                f"{where}: {what} is a link, as in caches of downloads, and none is followed:"
                " nothing was opened: copy the model and its data into one folder with `cp -L`"
            )
        wanted = stat.S_ISREG if index == len(parts) - 1 else stat.S_ISDIR
        if not wanted(status.st_mode):
            raise InputRefused(f"{where}: {what} is no plain file: nothing was opened")
    if os.path.samestat(status, model.stat()):
        raise InputRefused(f"{where}: external data is the model file itself")
    if status.st_size:
        with open_regular(place) as (stream, _):
            refuse_stand_in(stream.read(START), shown(place))
    return status.st_size


def _whole(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InputRefused(f"{where} is {quoted(text)}, not a whole number")
    return int(text)
