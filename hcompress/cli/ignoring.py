"""The options that say what does not count when texts are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from hcompress.cli.state import State
from hcompress.metrics import Ignore, Ignored

IgnoreCase = Annotated[
    bool, typer.Option("--ignore-case", help="Read right whether upper or lower case.")
]
IgnoreSpace = Annotated[
    bool, typer.Option("--ignore-space", help="Read right with more or fewer spaces.")
]
IgnoreWidth = Annotated[
    bool, typer.Option("--ignore-width", help="Full-width forms are the plain ones (NFKC).")
]
IgnorePunctuation = Annotated[
    bool,
    typer.Option(
        "--ignore-punctuation", help="Punctuation and symbols don't count, misread or not."
    ),
]
IgnoreCharacters = Annotated[
    str, typer.Option("--ignore-characters", help="Nor do these, such as the dot of a plate.")
]


def ignored_of(case: bool, space: bool, width: bool, punctuation: bool, characters: str) -> Ignored:
    """What the options say."""
    asked = {
        Ignore.CASE: case,
        Ignore.SPACE: space,
        Ignore.WIDTH: width,
        Ignore.PUNCTUATION: punctuation,
    }
    return Ignored(frozenset(kind for kind, said in asked.items() if said), characters)


def show_ignored(result: Mapping[str, Any], state: State) -> None:
    """Say what did not count in an evaluation, if anything."""
    if "ignored" in result:
        kinds, own = result["ignored"].values()
        state.console.out("not counted: " + ", ".join([*kinds, *own]))
