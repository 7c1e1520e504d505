"""Where the lines of a label file begin, each checked, for millions of them at once."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from hcompress.errors import InputRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Places = NDArray[np.int64]


MOST_LINES: Final = 2**25
_CHUNK: Final = 2**22
"""Bytes looked at together: what is made of them fits a processor's cache, and memory."""
_NAMED: Final = 20
"""Lines an error names at most."""
_NEWLINE, _RETURN, _TAB = b"\n\r\t"
_MARKS: Final = np.isin(np.arange(256), list(b"\0\t\n\r"))
_BLANKS: Final = np.isin(np.arange(256), list(b" \t\n\v\f\r\x1c\x1d\x1e\x1f"))

_RETURNS: Final = "a carriage return within the line: if lines end in CR alone, save it with LF"


def index_lines(data: bytes, path: Path) -> NDArray[np.uint32]:
    """[N]: the first byte of every line that lists an image; blank lines are passed over.

    Raises InputRefused naming ``path`` and the first bad line: not UTF-8, not `path<TAB>text`, an
    empty path or text, a NUL, a carriage return that ends no line, or no line or too many.
    """
    _check_utf8(data, path)
    if data.count(b"\n") >= MOST_LINES:
        raise InputRefused(f"{path}: more than {MOST_LINES:,} lines: split it")
    found, start = [], 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + _CHUNK) + 1
        if end == 0:
            end = len(data)
        if end - start > _CHUNK:
            raise InputRefused(_too_long(data, start, path))
        found.append(_Lines(data, start, end, path).listed())
        start = end
    listed = np.concatenate(found) if found else np.empty(0, np.uint32)
    if not len(listed):
        raise InputRefused(f"{path}: lists no image; a line is path<TAB>text")
    return listed


def _too_long(data: bytes, start: int, path: Path) -> str:
    number = data.count(b"\n", 0, start) + 1
    if b"\r" in data[start : start + _CHUNK]:
        return f"{path}, line {number}: {_RETURNS}"
    return f"{path}, line {number}: longer than {_CHUNK >> 20} MiB: not a label file"


def _check_utf8(data: bytes, path: Path) -> None:
    if data.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(data)
    for start in range(0, len(data), _CHUNK):
        part = view[start : start + _CHUNK]
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(part, final=start + _CHUNK >= len(data))
        except UnicodeDecodeError as error:
            place = start - held + error.start
            raise InputRefused(f"{path}: not UTF-8 at byte {place}; save it as UTF-8") from None


class _Lines:
    """The lines that ``start`` to ``end`` of the data hold, all of them whole."""

    def __init__(self, data: bytes, start: int, end: int, path: Path) -> None:
        self._data, self._first, self._path = data, start, path
        self._bytes = np.frombuffer(data, np.uint8, end - start, start)

    def listed(self) -> NDArray[np.uint32]:
        """Where the lines that are not blank begin, in all of the data."""
        plain = self._plain()
        starts = self._any() if plain is None else plain
        return (starts + self._first).astype(np.uint32)

    def _plain(self) -> Places | None:
        """The same where every line is a path, one tab, a text and its end: a tenth of the work."""
        marks = np.flatnonzero(_MARKS[self._bytes])
        kinds = self._bytes[marks]
        pattern = (_TAB, _RETURN, _NEWLINE) if _RETURN in kinds[:2] else (_TAB, _NEWLINE)
        step = len(pattern)
        alike = len(marks) % step == 0 and all(
            bool((kinds[place::step] == kind).all()) for place, kind in enumerate(pattern)
        )
        ends = marks[step - 1 :: step]
        if not alike or not len(ends) or ends[-1] != len(self._bytes) - 1:
            return None
        starts: Places = np.concatenate(([0], ends[:-1] + 1))
        tabs, stops = marks[::step], marks[1::step]
        fine = (tabs > starts) & (stops > tabs + 1) & (ends - stops == step - 2)
        return starts if bool(fine.all()) else None

    def _any(self) -> Places:
        newlines = np.flatnonzero(self._bytes == _NEWLINE)
        whole = len(newlines) and newlines[-1] == len(self._bytes) - 1
        ends = newlines if whole else np.append(newlines, len(self._bytes))
        self._starts = np.concatenate(([0], ends[:-1] + 1))
        # CR LF: the CR is no part of the text.
        returned = (self._bytes[np.maximum(ends - 1, 0)] == _RETURN) & (ends > self._starts)
        self._stops = ends - returned
        self._returns = int(returned.sum())
        stops, tab = self._stops, self._next(self._bytes == _TAB)
        filled = self._next(~_BLANKS[self._bytes]) < stops
        starts: Places = self._starts[filled]
        stops, tab = stops[filled], tab[filled]
        self._refuse(starts[tab >= stops], "no tab; a line is path<TAB>text")
        self._refuse(starts[tab == starts], "no usable path before the tab")
        self._refuse(starts[tab == stops - 1], "no text after the tab")
        self._refuse(
            np.flatnonzero(self._bytes == 0), "a zero byte: if it is UTF-16, save it as UTF-8"
        )
        self._refuse_returns()
        return starts

    def _next(self, wanted: NDArray[np.bool_]) -> Places:
        """[lines]: the first place from each line's beginning on that is wanted."""
        size = len(self._bytes)
        places = np.where(wanted, np.arange(size, dtype=np.int32), np.int32(size))
        nearest: NDArray[np.int32] = np.minimum.accumulate(places[::-1])[::-1]
        return nearest[self._starts].astype(np.int64)

    def _refuse_returns(self) -> None:
        returns = np.flatnonzero(self._bytes == _RETURN)
        if len(returns) > self._returns:
            within = ~np.isin(returns, self._stops)
            self._refuse(returns[within], _RETURNS)

    def _refuse(self, places: Places, what: str) -> None:
        if len(places):
            numbers = list(dict.fromkeys(map(self._number, places[: _NAMED + 1].tolist())))
            first, *more = numbers[:_NAMED]
            also = f"; so in lines {', '.join(map(str, more))}" if more else ""
            also += " and others" if len(numbers) > _NAMED else ""
            raise InputRefused(f"{self._path}, line {first}: {what}{also}")

    def _number(self, place: int) -> int:
        """The line that a byte is in, counted from 1 in all of the data."""
        return self._data.count(b"\n", 0, self._first + place) + 1
