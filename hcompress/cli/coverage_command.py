"""`hcompress coverage`: what a model lists and can't read."""

from __future__ import annotations

import random
from typing import Annotated, Final

import typer

from hcompress.cli.foreign_options import (
    Arch,
    BlankClass,
    Charset,
    Preprocessed,
    check_wanted,
    options_of,
)
from hcompress.cli.state import Json, Model, state_of
from hcompress.errors import UsageError

_SHOWN: Final = 60
"""Characters that were never read, of each group, on a terminal."""


def coverage(
    context: typer.Context,
    model: Model,
    times: Annotated[
        int, typer.Option("--times", min=2, max=100, help="Times that each character is shown.")
    ] = 3,
    sample: Annotated[
        int | None,
        typer.Option("--sample", min=1, help="So many of its characters, by chance; or all."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of lines and chance.")] = 0,
    charset: Charset = None,
    preprocessing: Preprocessed = None,
    blank: BlankClass = None,
    arch: Arch = None,
    json_output: Json = False,
) -> None:
    """Say which of its own characters a model can't read.

    Draws each character that it lists several times, in the fonts that data is rendered in for
    training and in others, reads the lines, and gives the share read by level of GB2312 and by
    block of Unicode, and those never read. Needs the extra synth-cjk for ideographs.
    """
    from hcompress.artifacts.source import open_source
    from hcompress.evaluation.coverage import report, sources, tally
    from hcompress.evaluation.readers import open_reader

    state = state_of(context)
    file, options = open_source(model).opened, options_of(charset, preprocessing, blank, arch)
    check_wanted(options, [file])
    reader = open_reader(file, options)
    characters = list(reader.characters)
    if not characters:
        raise UsageError(f"{model}: lists no characters")
    if sample is not None and sample < len(characters):
        chosen = frozenset(random.Random(seed).sample(range(len(characters)), sample))
        characters = [one for place, one in enumerate(characters) if place in chosen]
    seen = tally(reader, sources(characters, times, seed), state.console.progress())
    found = report(characters, seen)
    if json_output:
        state.console.json({"file": str(model), "times": times, **found.to_dict()})
        return
    state.console.table(found.rows())
    for one in found.shares:
        if one.never:
            more = len(one.never) - _SHOWN
            rest = f" and {more:,} more" if more > 0 else ""
            state.console.out(f"never read, {one.group}: {one.never[:_SHOWN]}{rest}")


COMMANDS: Final = (coverage,)
