"""An artifact's folder: what its manifest says, and how a folder comes to be complete.

A final name is absent or complete: files are written elsewhere, fsynced, the manifest last,
and one rename makes them an artifact. `compute/lock.py` keeps two runs apart.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from hcompress.artifacts.beside import beside, joined_digest
from hcompress.artifacts.kinds import MODEL_FILES, Kind
from hcompress.artifacts.manifest import FileRecord, Manifest
from hcompress.errors import InputRefused, UsageError
from hcompress.formats.open import ModelFile
from hcompress.strict.atomic import sync, write_json
from hcompress.strict.digest import file_digest
from hcompress.strict.json import read_json

MANIFEST: Final = "manifest.json"
MANIFEST_LIMIT: Final = 16 << 20
"""Bytes a manifest may have: a hostile one must not fill the memory."""
_REPLACED: Final = ".replaced"
_OURS: Final = frozenset(("format", *(entry.name for entry in fields(Manifest))))
_ENOUGH_OF_OURS: Final = 4
"""Keys of ours that no other program's manifest.json has by chance."""


@dataclass(frozen=True)
class Artifact:
    """A finished folder, or a bare model file that stands for one."""

    path: Path
    """The folder, or the file itself if it is bare: what a stage takes as its source."""
    opened: ModelFile
    """The model file, to be handed on to what reads it."""
    kind: Kind
    manifest: Manifest | None

    @property
    def file(self) -> Path:
        """The model file's path."""
        return self.opened.path

    @property
    def digest(self) -> str:
        """SHA-256 of the model file, as `ModelFile.digest`."""
        if self.manifest is None or (self.kind is Kind.ONNX and self.opened.external):
            return self.opened.digest
        return self.manifest.files[self.file.name].sha256

    @property
    def key(self) -> str:
        """64 hex: the manifest's key, or the digest of a bare file.

        What a stage takes from beside it, and no manifest lists, is in the key too.
        """
        own = self.manifest.key if self.manifest else self.digest
        listed = self.manifest.files if self.manifest else {}
        folder = self.file.parent
        others = [path for path in beside(self.opened) if relative_name(path, folder) not in listed]
        if not others:
            return own
        whole = f"{own}\n{joined_digest(others, folder.absolute().parent)}\n"
        return hashlib.sha256(whole.encode()).hexdigest()

    @property
    def stage(self) -> str:
        """The stage that wrote it; the file's name if nobody knows."""
        return self.manifest.stage.name if self.manifest else self.file.name


def relative_name(path: Path, folder: Path) -> str:
    """``path`` as a manifest in ``folder`` lists it; as it is, if it lies elsewhere."""
    whole = path.absolute()
    inside = whole.is_relative_to(folder.absolute())
    return whole.relative_to(folder.absolute()).as_posix() if inside else str(whole)


def path_digest(path: Path) -> str:
    """The digest of a file, or of every name and file below a folder.

    Raises UsageError if there is nothing.
    """
    if path.is_file():
        return file_digest(path)
    if not path.is_dir():
        raise UsageError(f"{path}: no such file or folder")
    digest = hashlib.sha256()
    for name, file in _files(path):
        digest.update(f"{name}\0{file_digest(file)}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Names relative to ``folder``, with forward slashes, in byte order."""
    found = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*")}
    yield from ((name, found[name]) for name in sorted(found) if found[name].is_file())


def record_files(folder: Path) -> dict[str, FileRecord]:
    """Size and digest of every file below ``folder`` but the manifest."""
    return {
        name: FileRecord(file.stat().st_size, file_digest(file))
        for name, file in _files(folder)
        if name != MANIFEST
    }


def read_manifest(folder: Path) -> Manifest:
    """Raises InputRefused, naming file and field, on anything we would not have written."""
    path = folder / MANIFEST
    try:
        raw = read_json(path, MANIFEST_LIMIT)
    except UsageError:
        raise InputRefused(
            f"{folder}: no {MANIFEST}: not a finished artifact; name one, or a model file"
        ) from None
    return Manifest.from_dict(raw, str(path))


def find_manifest(folder: Path) -> Manifest | None:
    """The manifest in a folder; None if there is none, or it is plainly another program's.

    Raises InputRefused if one is there and can't be read, or is damaged: not to know is not to
    know that there is none.
    """
    path = folder / MANIFEST
    if not os.path.lexists(path):
        return None
    try:
        raw = read_json(path, MANIFEST_LIMIT)
    except UsageError as error:  # a link to nothing, a folder that may not be looked into
        raise InputRefused(str(error)) from None
    if isinstance(raw, dict) and len(_OURS & raw.keys()) < _ENOUGH_OF_OURS:
        return None
    return Manifest.from_dict(raw, str(path))


def open_artifact(folder: Path, verify: bool = True) -> Artifact:
    """The artifact in ``folder``.

    With ``verify`` every file the manifest covers is read: a size or digest that differs
    raises InputRefused naming the file, as a malformed manifest does.
    """
    manifest = read_manifest(folder)
    name = MODEL_FILES.get(manifest.kind)
    if name is None or name not in manifest.files:
        raise InputRefused(f"{folder / MANIFEST}: files: no {name or 'model'} for its kind")
    opened = ModelFile(folder / name)
    if verify:
        check_listed(opened, folder, manifest, name)
        for other, record in manifest.files.items():
            if other != name:
                _check_record(folder / other, record, file_digest)
    return Artifact(folder, opened, manifest.kind, manifest)


def check_listed(file: ModelFile, folder: Path, manifest: Manifest, name: str) -> None:
    """Raises InputRefused, naming the file, if ``file`` is not what the manifest calls ``name``.

    Nor may it hold weights in files that the manifest does not list.
    """
    _check_record(file.path, manifest.files[name], lambda _: file.own_digest)
    if file.path.suffix.lower() != ".onnx":
        return
    for outside in file.external:
        place = (folder / name).parent / outside.relative_to(file.path.parent)
        record = manifest.files.get(place.relative_to(folder).as_posix())
        if record is None:
            raise InputRefused(
                f"{outside}: holds weights, and {folder / MANIFEST} does not list it"
            )
        _check_record(outside, record, file_digest)


def _check_record(path: Path, record: FileRecord, digest: Callable[[Path], str]) -> None:
    if not path.is_file():
        raise InputRefused(f"{path}: missing, though the manifest lists it")
    size = path.stat().st_size
    if size != record.bytes:
        raise InputRefused(f"{path}: {size} bytes where the manifest says {record.bytes}")
    if digest(path) != record.sha256:
        raise InputRefused(f"{path}: damaged: its SHA-256 is not the manifest's")


def is_ours(folder: Path) -> bool:
    """A folder with a manifest we wrote: the only kind ``--force`` replaces."""
    try:
        read_manifest(folder)
    except InputRefused:
        return False
    return True


def publish(partial: Path, final: Path, manifest: Manifest) -> Artifact:
    """Make ``partial`` the artifact ``final``: fsync its files, manifest last, rename.

    An artifact of ours under the final name is swapped out and removed afterwards. Raises
    UsageError if the final name is taken by something that is not an artifact.
    """
    write_json(partial / MANIFEST, manifest.to_dict())
    for folder in [partial, *(path for path in partial.rglob("*") if path.is_dir())]:
        for file in folder.iterdir():
            if file.is_file():
                sync(file)
        sync(folder)
    return move_in(partial, final)


def move_in(complete: Path, final: Path) -> Artifact:
    """The last step of `publish`, on its own for one that was cut off just before it."""
    if final.exists():
        check_replaceable(final)
        final.rename(complete / _REPLACED)
    complete.rename(final)
    sync(final.parent)
    if complete.parent.exists():
        sync(complete.parent)
    tidy(final)
    return open_artifact(final, verify=False)


def tidy(final: Path) -> None:
    """Remove the artifact that this one replaced, which a kill may have left inside."""
    shutil.rmtree(final / _REPLACED, ignore_errors=True)


def check_replaceable(final: Path) -> None:
    """Raises UsageError if ``final`` is a user's file or a folder that is not ours."""
    if not final.is_dir():
        raise UsageError(f"{final}: a file is there already: choose another --out")
    if any(final.iterdir()) and not is_ours(final):
        raise UsageError(f"{final}: not empty and no artifact of ours: choose another --out")
