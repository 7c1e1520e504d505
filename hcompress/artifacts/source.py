"""From a path to the model that it names: a file, or the folder of an artifact, opened once.

What is handed on is the opened file: its header is read once, and it is hashed once at most.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from hcompress import sizes
from hcompress.artifacts.folder import (
    MANIFEST,
    Artifact,
    check_listed,
    find_manifest,
    open_artifact,
)
from hcompress.artifacts.kinds import MODEL_FILES, SUFFIXES, kind_of
from hcompress.artifacts.manifest import Manifest
from hcompress.artifacts.packages import in_package, names_a_package
from hcompress.errors import InputRefused, UsageError
from hcompress.formats.open import ModelFile
from hcompress.spec.exported import ENCODER_FILE
from hcompress.strict.files import quoted, shown, stat_of

_DEEPEST: Final = 2
"""Folders above a file of an artifact in which its manifest may lie."""
_INSIDE: Final = f"{ENCODER_FILE.partition('/')[0]}/"
"""The folder that artifacts have inside."""


def open_model(path: Path) -> ModelFile:
    """The model file that ``path`` names, to be looked at: itself, or an artifact folder's.

    Of a folder every file is checked against its manifest, of a file that lies in an artifact
    the file itself. Raises UsageError if there is nothing, InputRefused if it was changed.
    """
    path = in_package(path)
    if stat.S_ISDIR(stat_of(path).st_mode):
        return open_artifact(path).opened
    file = ModelFile(path)
    covering = _covering(path) if path.is_file() else None
    if covering is not None:
        check_listed(file, *covering)
    return file


def open_source(path: Path) -> Artifact:
    """The artifact that ``path`` names, by its folder or its model, or a bare file as one.

    All its files are checked against its manifest; of a bare file the structure is, before
    anything heavy is imported to load it. Raises UsageError if there is nothing, InputRefused if
    it is damaged, or no model that is loaded.
    """
    path = in_package(path)
    if path.is_dir():
        return open_artifact(path)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        raise InputRefused(f"{path}: not a model file: {', '.join(SUFFIXES)} are known")
    covering = _covering(path)
    if covering is not None and MODEL_FILES.get(covering[1].kind) == covering[2]:
        return open_artifact(covering[0])
    file = open_model(path)
    sizes.breakdown(file)
    return Artifact(path, file, kind_of(file), None)


def names_a_model(path: Path) -> bool:
    """Whether ``path`` is meant as a model, sound or not: what `open_source` accepts or refuses.

    A folder is if it holds a manifest or a model under an artifact's names, anything else,
    there or not, by its suffix, or if it is a package's name.
    """
    if path.is_dir():
        return any((path / name).exists() for name in (MANIFEST, *MODEL_FILES.values()))
    if names_a_package(path):
        return True
    return path.suffix.lower() in SUFFIXES


def _covering(path: Path) -> tuple[Path, Manifest, str] | None:
    """The artifact a file lies in, its manifest, and the file's name there.

    A link lies where it leads, too. Raises InputRefused if what may be the manifest can't be read.
    """
    try:
        places = dict.fromkeys((path.absolute(), path.resolve()))
    except (OSError, RuntimeError) as error:  # links in a circle
        raise InputRefused(f"{shown(path)}: can't be followed: {error}") from None
    for place in places:
        for folder in list(place.parents)[:_DEEPEST]:
            name = place.relative_to(folder).as_posix()
            manifest = _manifest_over(folder, name)
            if manifest is not None and name in manifest.files:
                return folder, manifest, name
            if manifest is not None and name == MODEL_FILES.get(manifest.kind):
                raise InputRefused(f"{folder / MANIFEST}: files: {name} is missing: damaged")
    return None


def _manifest_over(folder: Path, name: str) -> Manifest | None:
    """The manifest of a folder that ``name`` lies in.

    What can't be read above a folder that no artifact has inside is somebody else's.
    """
    try:
        return find_manifest(folder)
    except InputRefused as error:
        if "/" in name and not name.startswith(_INSIDE):
            return None
        raise InputRefused(
            f"{error}: whether {quoted(name)} is as it was written can't be told: make it again,"
            " or copy the file into a folder of its own"
        ) from None
