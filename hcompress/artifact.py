"""An artifact's folder: what its manifest says, and how a folder comes to be complete.

A final name is absent or complete: files are written elsewhere, fsynced, the manifest last,
and one rename makes them an artifact. `lock.py` keeps two runs apart.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hcompress.digest import file_digest
from hcompress.errors import InputRefused, UsageError
from hcompress.manifest import FileRecord, Manifest
from hcompress.stages.base import Kind

MANIFEST: Final = "manifest.json"
MODEL_FILES: Final[Mapping[Kind, str]] = {
    Kind.CHECKPOINT: "model.safetensors",
    Kind.ONNX: "model.onnx",
    Kind.ENGINE: "model.plan",
}
SUFFIXES: Final[Mapping[str, Kind]] = {
    ".safetensors": Kind.CHECKPOINT,
    ".onnx": Kind.ONNX,
    ".plan": Kind.ENGINE,
    ".engine": Kind.ENGINE,
}
MEASURED_ONLY: Final = (".pt", ".pth")
"""Suffixes of models that are not loaded: their sizes are read, their pickle is never run."""
MANIFEST_LIMIT: Final = 16 << 20
"""Bytes a manifest may have: a hostile one must not fill the memory."""
_JSON_LIMIT: Final = 1 << 30
"""Bytes a JSON file of a run may have: the readings of a million lines are a tenth of it."""
_REPLACED: Final = ".replaced"


@dataclass(frozen=True)
class Artifact:
    """A finished folder, or a bare model file that stands for one."""

    path: Path
    """The folder, or the file itself where it is bare: what a stage takes as its source."""
    file: Path
    """The model file."""
    kind: Kind
    key: str
    """64 hex: the manifest's key, or the digest of a bare file."""
    digest: str
    """SHA-256 of the model file."""
    manifest: Manifest | None

    @property
    def stage(self) -> str:
        """The stage that wrote it; the file's name where nobody knows."""
        return self.manifest.stage.name if self.manifest else self.file.name


def path_digest(path: Path) -> str:
    """The digest of a file, or of every name and file below a folder.

    Raises UsageError where there is nothing.
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
    from hcompress.sizes.strictjson import read_json as read_strictly

    path = folder / MANIFEST
    try:
        raw = read_strictly(path, MANIFEST_LIMIT)
    except UsageError:
        raise InputRefused(
            f"{folder}: no {MANIFEST}: not a finished artifact; name one, or a model file"
        ) from None
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
    if verify:
        for relative, record in manifest.files.items():
            _verify(folder / relative, record)
    return Artifact(
        folder, folder / name, manifest.kind, manifest.key, manifest.files[name].sha256, manifest
    )


def _verify(path: Path, record: FileRecord) -> None:
    if not path.is_file():
        raise InputRefused(f"{path}: missing, though the manifest lists it")
    size = path.stat().st_size
    if size != record.bytes:
        raise InputRefused(f"{path}: {size} bytes where the manifest says {record.bytes}")
    if file_digest(path) != record.sha256:
        raise InputRefused(f"{path}: damaged: its SHA-256 is not the manifest's")


def open_source(path: Path, verify: bool = True) -> Artifact:
    """An artifact folder, the model file of one, or a bare model file.

    Raises UsageError where there is nothing, InputRefused where it is not a model that is loaded:
    a bare file's structure is checked before anything heavy is imported to load it.
    """
    if path.is_dir():
        return open_artifact(path, verify)
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    suffix = path.suffix.lower()
    if suffix in MEASURED_ONLY:
        raise not_loaded(path)
    kind = SUFFIXES.get(suffix)
    if not path.is_file() or kind is None:
        raise InputRefused(f"{path}: not a model file: {', '.join(SUFFIXES)} are known")
    covering = _covering(path)
    if covering is not None and MODEL_FILES.get(covering[1].kind) == covering[2]:
        return open_artifact(covering[0], verify)
    from hcompress import sizes

    if sizes.format_of(path) is sizes.Format.TORCH:
        raise not_loaded(path)
    sizes.breakdown(path)
    digest = file_digest(path)
    return Artifact(path, path, kind, digest, digest, None)


def not_loaded(path: Path) -> InputRefused:
    """The error for a torch.save file, where a model is to be loaded."""
    return InputRefused(
        f"{path}: a torch.save file: inspect, compare and gate read its sizes; models are loaded"
        " from .safetensors or .onnx"
    )


def names_a_model(path: Path) -> bool:
    """Whether ``path`` is meant as a model, sound or not: what `open_source` accepts or refuses.

    A folder is where it holds a manifest or a model under an artifact's names, anything else,
    there or not, by its suffix.
    """
    if path.is_dir():
        return any((path / name).exists() for name in (MANIFEST, *MODEL_FILES.values()))
    return path.suffix.lower() in (*SUFFIXES, *MEASURED_ONLY)


def check_covered(path: Path) -> None:
    """Raises InputRefused where an artifact's manifest covers this file and it is not as listed."""
    covering = _covering(path) if path.is_file() else None
    if covering is not None:
        _, manifest, name = covering
        _verify(path, manifest.files[name])


def _covering(path: Path) -> tuple[Path, Manifest, str] | None:
    """The artifact a file lies in, its manifest, and the file's name there."""
    whole = path.absolute()
    for folder in list(whole.parents)[:2]:
        with contextlib.suppress(InputRefused):
            manifest, name = read_manifest(folder), whole.relative_to(folder).as_posix()
            if name in manifest.files:
                return folder, manifest, name
    return None


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
    UsageError where the final name is taken by something that is not an artifact.
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
    """Raises UsageError where ``final`` is a user's file or a folder that is not ours."""
    if not final.is_dir():
        raise UsageError(f"{final}: a file is there already: choose another --out")
    if any(final.iterdir()) and not is_ours(final):
        raise UsageError(f"{final}: not empty and no artifact of ours: choose another --out")


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` so that ``path`` holds the old text or all of the new."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


def write_text(path: Path, text: str) -> None:
    """As `write_json`, for text."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync(path.parent)


def read_json(path: Path) -> Any:
    """A JSON file of ours; None where it is missing or damaged: the caller starts anew."""
    from hcompress.sizes.strictjson import read_json as read_strictly

    with contextlib.suppress(UsageError, InputRefused):
        return read_strictly(path, _JSON_LIMIT)
    return None


def sync(path: Path) -> None:
    """fsync a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
