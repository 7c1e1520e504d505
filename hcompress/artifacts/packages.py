"""Recognisers in packages that people have installed, by the package's name."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hcompress.errors import EnvironmentFailed

PACKAGES: Final[Mapping[str, str]] = {"rapidocr": "models/*_rec_*.onnx"}
"""Where the recogniser lies in each."""


def names_a_package(path: Path) -> bool:
    """Whether an argument is a package's name. A file or folder of that name comes first."""
    return str(path) in PACKAGES and not path.exists()


def in_package(path: Path) -> Path:
    """``path`` itself, or the recogniser of the package that it names, which is not imported.

    Raises EnvironmentFailed if the package is not installed, or has no recogniser in it.
    """
    if not names_a_package(path):
        return path
    name = str(path)
    found = importlib.util.find_spec(name)
    folders = [] if found is None else list(found.submodule_search_locations or ())
    models = sorted(file for folder in folders for file in Path(folder).glob(PACKAGES[name]))
    if not models:
        what = "is not installed" if found is None else "has no recogniser in it"
        raise EnvironmentFailed(f"{name} {what}: pip install {name}, or give an ONNX file")
    return models[-1]
