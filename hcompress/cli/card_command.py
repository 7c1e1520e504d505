"""`hcompress card`: a model's card, from measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from hcompress.cli.state import Model, state_of


def card(
    context: typer.Context,
    model: Model,
    out: Annotated[Path, typer.Option("--out", help="The card: a Markdown file.")],
    evaluations: Annotated[
        list[Path],
        typer.Option("--eval", help="What `eval --json` printed for this model; one a data set."),
    ],
    trained_on: Annotated[
        list[Path] | None,
        typer.Option("--trained-on", help="Data it was trained on; once for each."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", help="The folder of the run that made it.")
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option("--teacher", help="The recogniser it was made from, if no --run says it."),
    ] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="The model's licence.")] = None,
) -> None:
    """Write a model's card from what was measured.

    Gives accuracy on each data set, bytes, digest, charset, fonts and limits, as Markdown. Refuses
    evaluations of another model, and those whose data has changed since. Replaces a card made
    before, and leaves any other file alone.
    """
    from hcompress.reports.card import render_card
    from hcompress.reports.card_data import check_out, make_card, write_card

    check_out(out)  # said before data is opened
    made = make_card(model, evaluations, trained_on or (), run, licence, teacher)
    write_card(out, render_card(made))
    state_of(context).console.out(str(out))


COMMANDS: Final = (card,)
