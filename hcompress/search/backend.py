"""Which search this machine has: the C extension and its instruction sets, or numpy."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Final

NUMPY: Final = "numpy"
"""The name under which the plain search is asked for; it is always there."""

native: ModuleType | None
missing: str | None
"""Why there is no extension; None where there is one."""
try:
    from hcompress.search import _native as native

    missing = None
except ImportError as error:
    native, missing = None, str(error)


@functools.cache
def instruction_sets() -> tuple[str, ...]:
    """What `CodeIndex` can be told to use, fastest first; the first is what it uses untold."""
    return (*(native.instruction_sets() if native else ()), NUMPY)


def chosen(wanted: str | None) -> str:
    """Raises ValueError where the machine, or the installed package, has no such set."""
    sets = instruction_sets()
    if wanted is None:
        return sets[0]
    if wanted not in sets:
        raise ValueError(f"no instruction set {wanted!r} here; there are {', '.join(sets)}")
    return wanted


def description() -> str:
    """One line for `hcompress doctor`."""
    if native is not None:
        return f"native, {instruction_sets()[0]}"
    return f"numpy, several times slower: no native extension ({missing})"
