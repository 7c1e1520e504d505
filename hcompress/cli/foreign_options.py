"""What a command lets its user say of a recogniser from elsewhere whose file does not say it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated

import typer

from hcompress.errors import UsageError
from hcompress.foreign.options import AS_FOUND, Blank, ImportOptions, split_charset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hcompress.formats.open import ModelFile

Charset = Annotated[
    str | None,
    typer.Option(
        "--charset",
        metavar="FILE[:NAME]",
        help="What the classes of anybody's model stand for: txt, yaml or json, or a list in a"
        " Python file.",
    ),
]
Preprocessed = Annotated[
    str | None,
    typer.Option("--preprocessing", help="ppocr, ppocr-rgb, ddddocr, ...: docs/foreign.md."),
]
BlankClass = Annotated[Blank | None, typer.Option("--blank", help="Which class is blank.")]
Arch = Annotated[
    str | None,
    typer.Option("--arch", metavar="NAME", help="Whose checkpoint it is: docs/checkpoints.md."),
]


def options_of(
    charset: str | None, preprocessing: str | None, blank: Blank | None, arch: str | None
) -> ImportOptions:
    """All that was said."""
    file, name = (None, None) if charset is None else split_charset(charset)
    return ImportOptions(file, name, preprocessing, blank, arch)


def check_wanted(options: ImportOptions, files: Sequence[ModelFile]) -> None:
    """Raises UsageError if something is said of files that all say it themselves: it would be
    passed over."""
    from hcompress.foreign.header import foreign_header, is_foreign

    if options == AS_FOUND:
        return
    if not any(is_foreign(one) and foreign_header(one) is None for one in files):
        raise UsageError(
            f"{files[0].path}: made by hcompress, and says itself what it answers and takes:"
            " --charset, --preprocessing, --blank and --arch are for other files"
        )


def said_digest(options: ImportOptions) -> str:
    """SHA-256 over all that was said: an evaluation with it is none of the file as it lies there,
    and a gate that looks for one refuses it."""
    from hcompress.strict.digest import file_digest

    listed = None if options.charset is None else file_digest(options.charset)
    parts = (listed, options.charset_list, options.preprocessing, options.blank, options.arch)
    return hashlib.sha256(repr(tuple(one and str(one) for one in parts)).encode()).hexdigest()
