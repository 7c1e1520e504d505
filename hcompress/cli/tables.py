"""Rows of text as lines that fit a width: wide tables are cut into several, never cropped."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

from hcompress.strict.show import visible

GAP: Final = 2
"""Blanks between columns."""
LEAST_WIDTH: Final = 40


def table_lines(rows: Sequence[Sequence[str]], width: int, names: int = 1) -> list[str]:
    """The table as lines of at most ``width`` cells if its columns allow.

    The first row is the header. The first ``names`` columns say what a row is of: they are
    left-aligned, the rest right-aligned, and repeated in every part. A part always holds one
    further column, however wide.
    """
    if not rows:
        return []
    clean = [[visible(cell) for cell in row] for row in rows]
    widths = [max(cells_wide(row[n]) for row in clean) for n in range(len(clean[0]))]
    lines: list[str] = []
    for part in _parts(widths, max(width, LEAST_WIDTH), names):
        if lines:
            lines.append("")
        lines += _part_lines(clean, widths, part, names)
    return lines


def pair_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Two columns, both left-aligned, the second as long as it likes; no header."""
    width = max((cells_wide(row[0]) for row in rows), default=0)
    gap = " " * GAP
    return [_pad(visible(name), width, right=False) + gap + visible(text) for name, text in rows]


def _parts(widths: Sequence[int], width: int, names: int) -> list[list[int]]:
    """The columns of each part: the names, then as many as fit."""
    first = list(range(min(names, len(widths))))
    parts: list[list[int]] = []
    used = 0
    for column in range(names, len(widths)):
        needed = GAP + widths[column]
        if not parts or used + needed > width:
            parts.append([*first])
            used = sum(widths[name] + GAP for name in first) - GAP
        parts[-1].append(column)
        used += needed
    return parts or [first]


def _part_lines(
    rows: Sequence[Sequence[str]], widths: Sequence[int], part: Sequence[int], names: int
) -> list[str]:
    lines = []
    for number, row in enumerate(rows):
        cells = [_pad(row[column], widths[column], right=column >= names) for column in part]
        lines.append((" " * GAP).join(cells).rstrip())
        if number == 0:
            lines.append((" " * GAP).join("-" * widths[column] for column in part))
    return lines


def _pad(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - cells_wide(text))
    return blanks + text if right else text + blanks


def cells_wide(text: str) -> int:
    """Terminal cells ``text`` takes: two for wide East Asian characters, none for marks."""
    if text.isascii():
        return len(text)
    return sum(_cell(character) for character in text)


def _cell(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
