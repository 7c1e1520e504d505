"""How keys, values and texts from outside are shown: short in an error, and always printable."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from hcompress.strict.files import quoted

HUGE: Final = 1 << 64
"""More than any whole number we read is. Python refuses to print the hugest."""
_SHOWN: Final = 60
"""Characters of a key or value that are shown."""


def visible(text: str) -> str:
    """``text`` with nothing that a terminal or a page would obey: what can't be seen by its code.

    Line ends too: names, labels and decoded texts are not ours, and must not forge a line.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"‹U+{ord(c):04X}›" for c in text)


def huge(value: object) -> bool:
    """Whether ``value`` is a whole number that nothing of ours can be."""
    return type(value) is int and abs(value) >= HUGE


def brief(text: object) -> str:
    """Text in quotes."""
    return quoted(str(text), _SHOWN)


def show(value: object) -> str:
    """A value as it would be typed; of a table or a list, that it is one."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | Path):
        return brief(value)
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if huge(value):
        return "a huge number"
    return "null" if value is None else brief(value)[1:-1]


def suggest(word: object, known: Iterable[str], noun: str) -> str:
    """The end of an error line: the nearest known word, or all of them."""
    words = sorted(known)
    short = isinstance(word, str) and len(word) <= _SHOWN  # a long one would take its time
    close = difflib.get_close_matches(str(word), words, n=1) if short else []
    if close:
        return f"; did you mean {brief(close[0])}?"
    return f"; {noun}: {', '.join(words)}" if words else f"; it has no {noun}"
