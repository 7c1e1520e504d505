"""`hcompress study`: an experiment of several variants and seeds, and its table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from hcompress.cli.run_commands import DEFAULT_OUT
from hcompress.cli.state import Json, state_of


def study(
    context: typer.Context,
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="A study file, or a packaged study's name.")
    ],
    teacher: Annotated[
        Path | None,
        typer.Argument(metavar="[TEACHER]", help="A checkpoint to use instead of the study's own."),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option("--corpus", help="Use other data: a corpus file, or a packaged one's name."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The study's folder; runs/STUDY if not given.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Compare variants of a recipe: several seeds, paired intervals.

    Starts every variant from the same teacher, runs it with the same seeds, and has all read the
    same test lines. If it was stopped or killed, type the same command again: it goes on from
    there.
    """
    from hcompress.compute.libraries import require
    from hcompress.lab.study.corpus import load_corpus
    from hcompress.lab.study.plan import plan_study
    from hcompress.lab.study.run import check_folder, run_study
    from hcompress.lab.study.show import COMMON, common_lines, plan_rows, tables
    from hcompress.lab.study.spec import find_study, load_study
    from hcompress.runs.keys import data_digest, remembering
    from hcompress.runs.shrink import RunOptions

    state = state_of(context)
    console = state.console
    elsewhere = None if corpus is None else load_corpus(corpus)
    loaded = load_study(find_study(study), state.stages, elsewhere)
    require("study", loaded.needs)
    folder = out or DEFAULT_OUT / loaded.name
    if dry_run:
        check_folder(loaded, folder)
        plan = plan_study(loaded, teacher, folder, remembering(data_digest)).to_dict()
        console.json(plan) if json_output else console.table(plan_rows(plan))
        return
    options = RunOptions(progress=console.progress(), ranks=state.ranks)
    result = run_study(loaded, teacher, folder, options)
    if result is None:
        return
    if json_output:
        console.json(result.figures)
        return
    console.lines(f"{COMMON}\n")
    for line in common_lines(result.figures):
        console.out(line)
    console.out("")
    for title, rows in tables(result.figures):
        console.lines(f"{title}\n")
        console.table(rows)
        console.out("")
    console.lines(result.figures["method"])
    for path in (result.json, result.markdown):
        console.out(f"wrote {path}")


COMMANDS: Final = (study,)
