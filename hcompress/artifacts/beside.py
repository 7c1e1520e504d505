"""What a model takes from beside it: codes, the serving form, lists of classes.

A bare file stands for all of it: its key is theirs too, and whoever says how it reads says with
which list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from hcompress.errors import HcompressError
from hcompress.formats.open import Format, ModelFile
from hcompress.spec.exported import CODEBOOK_FILE, ENCODER_FILE, STEP_FILE
from hcompress.spec.foreign_header import CHARACTERS
from hcompress.strict.digest import file_digest

MOST_LIST_BYTES: Final = 16 << 20
"""Bytes that a list of classes may have."""
_MOST_ENTRIES: Final = 256
"""Of a folder that is looked through."""
_WORDS: Final = ("dict", "keys", "charset", "character", "label", "vocab")


def beside(file: ModelFile) -> tuple[Path, ...]:
    """The files near a model that a stage may take with it."""
    served = (ENCODER_FILE, STEP_FILE) if file.format is Format.ONNX else ()
    names = (CODEBOOK_FILE, *served)
    near = (file.path.parent / name for name in names)
    return (*(path for path in near if path.is_file()), *lists_beside(file))


def waiting_codes(file: ModelFile) -> int | None:
    """The bits of the codes that lie beside a model; None where none do that can be read."""
    codebook = file.path.parent / CODEBOOK_FILE
    try:
        shapes = {piece.name: piece.shape for piece in ModelFile(codebook).layout.pieces}
    except (HcompressError, OSError):
        return None
    shape = shapes.get("codes")
    return shape[-1] * 8 if shape else None


def lists_beside(file: ModelFile) -> tuple[Path, ...]:
    """The lists that may name the classes of a recogniser from elsewhere, which names none."""
    if not file.bare and (file.format is not Format.ONNX or file.header is not None):
        return ()
    if CHARACTERS in file.layout.properties:
        return ()
    own, above = lists_near(file.path)
    return tuple(path for path in (*own, *above) if path.stat().st_size <= MOST_LIST_BYTES)


def lists_near(model: Path) -> tuple[list[Path], list[Path]]:
    """Files called like lists of classes: in a model's folder, and in the one above and that
    one's folders of dictionaries."""
    own = model.absolute().parent
    above = own.parent
    folders = [one for one in _entries(above) if one.is_dir() and "dict" in one.name]
    return _lists(own), [path for folder in (above, *folders) for path in _lists(folder)]


def lists_digest(file: ModelFile) -> str | None:
    """One digest of all lists that `lists_beside` has; None if there are none."""
    found = lists_beside(file)
    return joined_digest(found, file.path.absolute().parent.parent) if found else None


def joined_digest(paths: Iterable[Path], root: Path) -> str:
    """SHA-256 over names below ``root`` and contents."""
    whole = hashlib.sha256()
    for path in paths:
        name = path.absolute().relative_to(root.absolute()).as_posix()
        whole.update(f"{name}\0{file_digest(path)}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _lists(folder: Path) -> list[Path]:
    return [path for path in _entries(folder) if _may_be_list(path.name.lower()) and path.is_file()]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())[:_MOST_ENTRIES]
    except OSError:
        return []


def _may_be_list(name: str) -> bool:
    stem, _, suffix = name.rpartition(".")
    if suffix in ("yml", "yaml"):
        return stem == "inference"
    return suffix in ("txt", "py", "json") and any(word in stem for word in _WORDS)
