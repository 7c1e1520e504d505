"""What a command lets its user say of how images are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hcompress.strict.schema import MOST_WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from hcompress.evaluation.readers import Reader
    from hcompress.runtime.options import ReadOptions

Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, max=MOST_WORKERS, help="Threads of one image's work; 1."),
]
OnlyThese = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="CHARACTERS",
        help="Answer these characters alone, or a class of them: digits, latin, upper, lower,"
        " letters, ascii, punctuation, space, han, kana, hangul, cyrillic, greek, arabic. Give it"
        " again for more.",
    ),
]
MinConfidence = Annotated[
    float,
    typer.Option("--min-confidence", min=0, max=1, help="Leave out texts that are less sure."),
]
Providers = Annotated[
    list[str] | None,
    typer.Option("--provider", help="What onnxruntime runs on, such as cuda; the CPU otherwise."),
]


def reading_of(
    threads: int | None,
    only: list[str] | None,
    min_confidence: float,
    providers: list[str] | None,
) -> ReadOptions:
    """All that was said."""
    from hcompress.runtime.options import ReadOptions

    chosen = tuple(only) if only else None
    return ReadOptions(threads, chosen, min_confidence, tuple(providers or ()))


def say_lacking(reader: Reader, reading: ReadOptions, say: Callable[[str], None]) -> None:
    """A line on characters that are asked for and that the model hasn't got."""
    from hcompress.runtime.only import lacking

    missing = lacking(reader.characters, reading.only or ())
    if missing:
        say(f"--only: the model does not answer {missing}")
