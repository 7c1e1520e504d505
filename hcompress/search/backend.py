"""Which search this machine has: the C extension and its instruction sets, or numpy."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from types import ModuleType
from typing import Final

NUMPY: Final = "numpy"
"""The name under which the plain search is asked for; it is always there."""
EXTENSION: Final = "hcompress.search._native"


def _load() -> tuple[ModuleType | None, str | None]:
    """The extension, or why there is none."""
    if importlib.util.find_spec(EXTENSION) is None:
        return None, "not built: install again where there is a C compiler"
    try:
        return importlib.import_module(EXTENSION), None
    except ImportError as error:
        return None, str(error)


native, missing = _load()


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
