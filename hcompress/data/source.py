"""What every kind of data looks like to the rest, and how a path becomes one of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hcompress.data.sample import DataSource
from hcompress.errors import InputRefused, UsageError

LABEL_SUFFIXES = (".txt", ".tsv")
SPEC_SUFFIX = ".toml"


def on_file(path: Path | None) -> bool:
    """Whether these are lines whose labels lie in a file: to ask what draws its own takes fonts."""
    return path is not None and path.suffix.lower() != SPEC_SUFFIX


def open_data(path: Path) -> DataSource:
    """Open a folder holding an LMDB, a label file (.txt, .tsv) or a rendered-text spec (.toml).

    Raises UsageError where there is no such path or it is none of these, InputRefused where the
    content is wrong, EnvironmentFailed where rendering lacks a package.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such data; give an LMDB folder, a label file or a .toml spec")
    if path.is_dir():
        if not (path / "data.mdb").exists():
            raise InputRefused(
                f"{path}: a folder without data.mdb is no LMDB; labelled lines are wanted: an LMDB"
                " folder, a label file (.txt, .tsv; a line is path<TAB>text) or a .toml spec"
            )
        from hcompress.data.lmdb import LmdbSource

        return LmdbSource(path)
    suffix = path.suffix.lower()
    if suffix in LABEL_SUFFIXES:
        from hcompress.data.labels import LabelFileSource

        return LabelFileSource(path)
    if suffix == SPEC_SUFFIX:
        return _described(path)
    raise UsageError(
        f"{path}: unknown kind of data; give an LMDB folder, a label file (.txt, .tsv) or a"
        " rendered-text spec (.toml)"
    )


def _described(path: Path) -> DataSource:
    """What a TOML file describes: text to render, or other sources to mix."""
    from hcompress.data.mixture import SOURCES, mixture
    from hcompress.data.render.spec import make_spec, read_spec_file

    raw = read_spec_file(path)
    if SOURCES in raw:
        return mixture(raw, path, _unmixed)
    from hcompress.data.render.source import RenderedSource

    return RenderedSource(make_spec(raw, path.parent, str(path)))


def _unmixed(path: Path) -> DataSource:
    """As `open_data`. A mixture in a mixture is refused before its own sources are opened: one
    may name itself."""
    if path.suffix.lower() == SPEC_SUFFIX and path.is_file():
        from hcompress.data.mixture import SOURCES
        from hcompress.data.render.spec import read_spec_file

        if SOURCES in read_spec_file(path):
            raise InputRefused(f"{path}: a mixture in a mixture: name its sources there")
    return open_data(path)


def open_images(path: Path, say: Callable[[str], None] | None = None) -> DataSource:
    """As `open_data`; a folder without an LMDB is one of images without labels.

    ``say`` is told what is left out of it.
    """
    if path.is_dir() and not (path / "data.mdb").exists():
        from hcompress.data.image_folder import ImageFolderSource

        source = ImageFolderSource(path)
        if say is not None:
            for line in source.left_out.lines():
                say(line)
        return source
    return open_data(path)


def open_optional(path: Path | None) -> DataSource | None:
    """`open_data`, or None if nothing was named."""
    return None if path is None else open_data(path)
