"""`hcompress shrink`: a recipe on a model, ours or from elsewhere."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hcompress.cli.foreign_options import Arch, BlankClass, Charset, Preprocessed, options_of
from hcompress.cli.run_commands import DEFAULT_OUT
from hcompress.cli.state import Json, State, state_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hcompress.runs.recipe import Recipe
    from hcompress.runs.shrink import RunResult

OURS: Final = "hamming-ocr"
FOREIGN: Final = "foreign"
"""Recipes for models of ours, and for everybody else's."""


def shrink(
    context: typer.Context,
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MODEL]",
            help="A checkpoint or artifact folder; anybody's ONNX recogniser; or rapidocr.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="A recipe file, or a packaged recipe's name; if not given, hamming-ocr for a model"
            " of ours, foreign for any other.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The run's folder; if not given, runs/RECIPE, or runs/MODEL for anybody's model.",
        ),
    ] = None,
    charset: Charset = None,
    preprocessing: Preprocessed = None,
    blank: BlankClass = None,
    arch: Arch = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STAGE.KEY=VALUE",
            help="A parameter of the recipe, said otherwise: quantise.bits=5. Paths are relative to"
            " the recipe; nothing after = takes the key away. May be given again.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force/--resume", help="Make every stage again, or keep finished ones."),
    ] = False,
    json_output: Json = False,
) -> None:
    """Run a recipe on a model: stage by stage, measured, with a report.

    Shows Table 1 after each stage, a column longer each time. If a run was stopped or killed,
    type the same command again: it goes on from there. --json prints the outcome on one line.
    """
    state = state_of(context)
    said = changes or ()
    given = None if recipe is None else _recipe(recipe, said, state)
    known = None if model is None else _name_if_foreign(model, arch)
    loaded = given or _recipe(OURS if known is None else FOREIGN, said, state)
    said_of_it = asdict(options_of(charset, preprocessing, blank, arch))
    if imported := {key: value for key, value in said_of_it.items() if value is not None}:
        loaded = loaded.saying(imported)
    folder = out or DEFAULT_OUT / _run_name(loaded.name, known)
    teacher = model or (None if loaded.makes_its_teacher else loaded.teacher)
    if dry_run:
        _show_plan(loaded, teacher, folder, force, json_output, state)
        return
    result = _run(loaded, teacher, folder, force, state)
    if json_output:
        state.console.json(result.to_dict(), indent=None)
    else:
        _show_result(result, state)
    result.check_loss()


def _recipe(spelling: str, changes: Sequence[str], state: State) -> Recipe:
    """The recipe, if all that it needs is installed."""
    from hcompress.compute.libraries import require
    from hcompress.runs.recipe import find_recipe, load_recipe

    loaded = load_recipe(find_recipe(spelling), state.stages, changes)
    require("shrink", loaded.needs)
    return loaded


def _name_if_foreign(model: Path, arch: str | None) -> str | None:
    """What a recogniser from elsewhere is called; None for one of ours.

    Raises InputRefused of a checkpoint that is not known.
    """
    from hcompress.artifacts.source import open_source
    from hcompress.foreign.header import is_foreign

    found = open_source(model)
    if not is_foreign(found.opened):
        return None
    if found.opened.bare:
        from hcompress.foreign.checkpoints.known import recognised
        from hcompress.foreign.checkpoints.state import read_state

        recognised(read_state(found.opened), arch)
    path = found.path.absolute()
    return path.name if path.is_dir() else path.stem


def _run_name(recipe: str, model: str | None) -> str:
    """The folder of a run under `runs/`: what differs from run to run is in its name."""
    if model is None:
        return recipe
    return model if recipe == FOREIGN else f"{model}-{recipe}"


def _run(
    recipe: Recipe, teacher: Path | None, folder: Path, force: bool, state: State
) -> RunResult:
    from hcompress.reports.size_table import table1_rows
    from hcompress.runs.keys import data_digest, remembering
    from hcompress.runs.plan import make_plan
    from hcompress.runs.shrink import RunOptions, run_recipe

    digest = remembering(data_digest)
    if state.ranks.size == 1:  # of several, one may have begun to write
        # What a later stage would refuse is refused before hours go into those before it.
        make_plan(recipe, teacher, folder, digest, force)
    options = RunOptions(
        progress=state.console.progress(),
        show=lambda columns: state.console.table(table1_rows(columns), talk=True),
        rebuild=force,
        ranks=state.ranks,
        digest_data=digest,
    )
    return run_recipe(recipe, teacher, folder, options)


def _show_result(result: RunResult, state: State) -> None:
    from hcompress.cli.ignoring import show_ignored
    from hcompress.cli.model_commands import evaluation_rows
    from hcompress.reports.size_table import table1_rows

    console = state.console
    console.table(table1_rows(result.columns))
    if result.before is not None and result.after is not None:
        console.out("")
        console.table(evaluation_rows([("before", result.before), ("after", result.after)]))
        show_ignored(result.after, state)
    console.out("")
    for path in result.reports:
        console.out(f"report: {path}")
    console.out(f"model: {result.model}")


def _show_plan(
    recipe: Recipe,
    teacher: Path | None,
    folder: Path,
    force: bool,
    as_json: bool,
    state: State,
) -> None:
    from hcompress.runs.plan import make_plan

    plan = make_plan(recipe, teacher, folder, rebuild=force)
    if as_json:
        state.console.json(plan.to_dict())
    else:
        state.console.table(plan.rows())
        for line in plan.lines():
            state.console.out(line)


COMMANDS: Final = (shrink,)
