"""From a path to the model that it names."""

from __future__ import annotations

import contextlib
import stat
from pathlib import Path

from hcompress.artifacts.folder import MANIFEST, Artifact, _verify, open_artifact, read_manifest
from hcompress.artifacts.kinds import MEASURED_ONLY, MODEL_FILES, SUFFIXES, not_loaded
from hcompress.artifacts.manifest import Manifest
from hcompress.errors import InputRefused, UsageError
from hcompress.strict.digest import file_digest
from hcompress.strict.files import stat_of


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


def model_file(path: Path) -> Path:
    """The file itself, or the model of the artifact folder, all its digests checked."""
    if not stat.S_ISDIR(stat_of(path).st_mode):
        return path
    from hcompress.artifacts.folder import open_artifact

    return open_artifact(path).file
