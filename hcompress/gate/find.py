"""Which files a path of the limits is: as it is spelt, the one that its pattern fits, or all."""

from __future__ import annotations

import glob
import re
from itertools import islice
from pathlib import Path
from typing import Final

from hcompress.errors import UsageError
from hcompress.strict.files import quoted, shown

_PATTERN: Final = re.compile(r"[*?\[]")
MOST: Final = 1_000
"""Models that a pattern may fit: it was meant otherwise if there are more."""
_NAMED: Final = 8
"""Files that fit a pattern and are named; of more it is enough that there are some."""


def is_pattern(path: str) -> bool:
    """Whether more than one name may fit it."""
    return _PATTERN.search(path) is not None


def find(root: Path, path: str) -> Path:
    """``path`` below ``root``; of a pattern (`*`, `?`, `[…]`) the one file or folder that fits.

    Raises UsageError if none fits, or several do: which of them is built today can't be told.
    """
    exact = root / path
    if not is_pattern(path):
        return exact
    # Path.glob takes no absolute pattern, and hidden files for it.
    fitting = glob.iglob(path, root_dir=root)  # noqa: PTH207
    found = {root / name for name in islice(fitting, _NAMED)}
    if exact.exists():
        found.add(exact)
    if len(found) == 1:
        return found.pop()
    if not found:
        raise UsageError(f"{shown(exact)}: no file or folder fits: check the pattern")
    names = ", ".join(quoted(one.name) for one in sorted(found))
    raise UsageError(
        f"{shown(exact)}: several fit, {names}: remove those of earlier builds, or be more exact"
    )


def find_all(root: Path, path: str) -> list[str]:
    """The names below ``root`` that fit the pattern, `**` and hidden ones too, in order.

    Raises UsageError if none does, or more than `MOST` do.
    """
    fitting = glob.iglob(path, root_dir=root, recursive=True, include_hidden=True)  # noqa: PTH207
    found = {Path(name).as_posix() for name in islice(fitting, MOST + 1)}
    if (root / path).exists():
        found.add(path)
    if not found:
        raise UsageError(f"{shown(root / path)}: no file or folder fits: check the pattern")
    if len(found) > MOST:
        raise UsageError(f"{shown(root / path)}: more than {MOST:,} fit: be more exact")
    return sorted(found)
