"""`hcompress bench`: how fast the Hamming head is here, beside the softmax it replaces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hcompress.artifacts.packages import names_a_package
from hcompress.cli.state import Json, state_of

if TYPE_CHECKING:
    from hcompress.cli.console import Console
    from hcompress.formats.open import ModelFile
    from hcompress.lab.bench.run import Plan


RESULT: Final = "bench.json"
FIGURE: Final = "growth.svg"


def bench(
    context: typer.Context,
    model: Annotated[
        Path | None,
        typer.Argument(metavar="[MODEL]", help="An exported Hamming model to measure."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Make fewer rounds, for rough figures.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write bench.json and growth.svg into this folder.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Measure speed and memory against softmax, on one thread.

    Times the head alone, the search alone (against faiss, if it is installed), whole images and
    loading, and says what more characters cost. Builds untrained models to measure; with MODEL,
    images and loading are that one's, and the softmax it is compared with has its shape. A MODEL
    from elsewhere is timed alone: its graph, and from the image to the text.
    """
    from hcompress.compute.libraries import require
    from hcompress.errors import UsageError
    from hcompress.lab.bench import run
    from hcompress.lab.bench.show import tables

    foreign = _foreign(model)
    if foreign is None:
        require("bench", run.NEEDS)
    run.one_thread()
    console = state_of(context).console
    if out is not None:
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out}: not a folder: choose another --out")
        taken = next((out / name for name in (RESULT, FIGURE) if (out / name).exists()), None)
        if taken is not None:  # said before minutes of measuring
            raise UsageError(f"{taken}: exists: choose another --out, or remove it")
        out.mkdir(parents=True, exist_ok=True)
    plan = run.QUICK_PLAN if quick else run.Plan()
    if foreign is not None:
        _bench_foreign(plan, foreign, out, json_output, console)
        return
    result = run.run_bench(plan, console.progress(), model)
    if out is not None:
        write(result, out, console)
    for line in result["left_out"]:
        console.say(f"left out: {line}")
    if json_output:
        console.json(result)
        return
    machine = result["machine"]
    console.out(f"{machine['cpu']}, {machine['instruction_set']}, one thread, {machine['clock']}")
    for title, rows in tables(result):
        console.lines(f"\n{title}")
        console.table(rows)


def _foreign(model: Path | None) -> ModelFile | None:
    """The model, if it is one from elsewhere."""
    from hcompress.artifacts.source import open_source
    from hcompress.foreign.header import is_foreign

    if model is None or not (model.exists() or names_a_package(model)):
        return None
    file = open_source(model).opened
    return file if is_foreign(file) else None


def _bench_foreign(
    plan: Plan, file: ModelFile, out: Path | None, as_json: bool, console: Console
) -> None:
    from hcompress.lab.bench.foreign import run_foreign
    from hcompress.strict.atomic import write_json

    result = run_foreign(plan, file)
    if out is not None:
        write_json(out / RESULT, result)
    if as_json:
        console.json(result)
        return
    machine, line = result["machine"], result["line"]
    console.out(f"{machine['cpu']}, one thread, {machine['clock']}")
    console.pairs(
        [
            ("graph alone", f"{line['graph_ms']} ms a line of {line['height']}x{line['width']}"),
            ("image to text", f"{line['read_ms']} ms"),
            ("bytes", f"{result['bytes']:,}"),
        ]
    )


def write(result: dict[str, Any], out: Path, console: Console) -> None:
    """Write bench.json and, if matplotlib is there, growth.svg."""
    from hcompress.lab.bench import run
    from hcompress.strict.atomic import write_json

    write_json(out / RESULT, result)
    if not run.has_figure():
        console.say("left out: the figure: pip install 'hcompress[report]'")
        return
    from hcompress.lab.bench.figure import write_growth

    write_growth(result["growth"], out / FIGURE)


COMMANDS: Final = (bench,)
