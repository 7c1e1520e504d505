"""Commands that list recipes and stages, and build the paper's sizes: table1, recipes, stages."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hcompress.cli.state import Json, state_of
from hcompress.runs.recipe import DEFAULT_SEED, DEFAULT_THREADS, MOST_SEED, MOST_THREADS

DEFAULT_OUT: Final = Path("runs")


def table1(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option("--out", help="The folder for the files, a folder each.")
    ] = DEFAULT_OUT / "table1",
    charset: Annotated[
        Path | None,
        typer.Option("--charset", help="UTF-8 file of characters; ours of 20,948 if not given."),
    ] = None,
    code_length: Annotated[
        int, typer.Option("--code-length", min=8, help="K, the bits of a code.")
    ] = 512,
    seed: Annotated[int, typer.Option("--seed", min=0, max=MOST_SEED, help="Seed.")] = DEFAULT_SEED,
    threads: Annotated[
        int, typer.Option("--threads", min=1, max=MOST_THREADS, help="Threads torch uses.")
    ] = DEFAULT_THREADS,
    force: Annotated[
        bool, typer.Option("--force/--resume", help="Make every file again, or keep finished ones.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Write the paper's Table 1 as real, untrained files.

    Builds all seven columns, Table 2's ResNet31 rows and the ONNX file by the real stages, with the
    paper's sizes beside them, and then what int8 makes of them.
    """
    from hcompress.compute.libraries import require
    from hcompress.compute.lock import hold
    from hcompress.lab.table1 import NEEDS, build_tables
    from hcompress.reports.size_table import table1_rows
    from hcompress.runs.place import Existing, made
    from hcompress.runs.runner import StageOptions

    state = state_of(context)
    require("table1", NEEDS)
    options = StageOptions(
        seed=seed,
        threads=threads,
        progress=state.console.progress(),
        rebuild=force,
        existing=Existing.REPLACE if force else Existing.KEEP,
        ranks=state.ranks,
    )
    with made(out), hold(out / ".lock") if state.ranks.first else contextlib.nullcontext():
        tables = build_tables(out, options, charset=charset, code_length=code_length)
    if json_output:
        state.console.json(tables.to_dict(out))
        return
    for weighed in (tables.columns, tables.table2, [entry.weighed for entry in tables.int8]):
        state.console.table(table1_rows([entry.column for entry in weighed]))
        state.console.out("")
    for path in (tables.onnx, *(entry.onnx for entry in tables.int8)):
        state.console.out(f"onnx: {path} ({path.stat().st_size:,} bytes)")


def recipes(context: typer.Context, json_output: Json = False) -> None:
    """List the recipes that travel with the package."""
    from hcompress.runs.recipe import load_recipe, packaged_recipes

    state = state_of(context)
    found = [(name, load_recipe(path, state.stages)) for name, path in packaged_recipes().items()]
    console = state.console
    if json_output:
        console.json([{"recipe": name, **loaded.to_dict()} for name, loaded in found])
        return
    for name, loaded in found:
        console.out(f"{name}: {loaded.summary}")
        console.out("  " + " > ".join(step.label for step in loaded.steps))


def stages(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[STAGE]", help="One stage only.")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page docs/stages.md.")
    ] = False,
    json_output: Json = False,
) -> None:
    """List the stages and their recipe keys.

    Gives each key with its meaning, type, bounds and default.
    """
    from hcompress.errors import UsageError
    from hcompress.strict.schema import describe
    from hcompress.strict.show import suggest

    state = state_of(context)
    if name is not None and name not in state.stages:
        raise UsageError(f'unknown stage "{name}"{suggest(name, state.stages, "stages")}')
    wanted = list(state.stages.values()) if name is None else [state.stages[name]]
    console = state.console
    if json_output:
        console.json([_stage_json(kind) for kind in wanted])
        return
    if markdown:
        from hcompress.cli.stage_page import stages_markdown

        console.lines(stages_markdown(wanted).removesuffix("\n"))
        return
    for kind in wanted:
        console.out(f"{kind.name}: {kind.summary} ({kind.consumes} > {kind.produces})")
        for spec in describe(kind):
            default = "required" if spec.required else f"default {spec.default_text}"
            details = [spec.type_text, spec.bounds_text, default]
            text = ", ".join(part for part in details if part)
            console.out(f"  {spec.name}: {spec.param.help} [{text}]")


def _stage_json(kind: Any) -> dict[str, Any]:
    from hcompress.strict.schema import describe
    from hcompress.strict.write import plain

    return {
        "stage": kind.name,
        "version": kind.version,
        "summary": kind.summary,
        "consumes": kind.consumes,
        "produces": kind.produces,
        "parameters": [
            {
                "key": spec.name,
                "option": spec.option,
                "type": spec.type_text,
                "required": spec.required,
                "default": plain(spec.default),
                "minimum": spec.param.minimum,
                "maximum": spec.param.maximum,
                "help": spec.param.help,
            }
            for spec in describe(kind)
        ],
    }


COMMANDS: Final = (table1, recipes, stages)
