"""Commands that look at models: inspect, compare, eval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hcompress.artifact import check_covered
from hcompress.cli.state import Data, Images, Json, Model, State, state_of
from hcompress.stages.base import MOST_WORKERS

if TYPE_CHECKING:
    from hcompress.evaluation import Line

MOST_LINES: Final = 20
"""Rows of differences shown to people; --json has them all."""


def inspect(context: typer.Context, model: Model, json_output: Json = False) -> None:
    """Show what a model file's bytes are spent on.

    The rows add up to the file exactly. Reads checkpoints (.safetensors, .pt), ONNX files and
    engines without loading them.
    """
    from hcompress import sizes
    from hcompress.reports.table1 import breakdown_rows

    console = state_of(context).console
    check_covered(model)
    found = sizes.breakdown(model)
    techniques = sizes.techniques_of(model)
    if json_output:
        console.json({"file": str(found.path), **found.to_dict(), "techniques": list(techniques)})
        return
    console.table(breakdown_rows(found))
    if techniques:
        console.out("in force: " + ", ".join(techniques))


def eval_(
    context: typer.Context,
    model: Model,
    data: Data,
    images: Images = None,
    workers: Annotated[
        int,
        typer.Option("--workers", min=0, max=MOST_WORKERS, help="Processes that prepare images."),
    ] = 0,
    json_output: Json = False,
) -> None:
    """Measure how well a model reads labelled data.

    Accuracy with its 95% interval, 1-NED and the calibration of the confidence.
    """
    from hcompress.data.source import open_data
    from hcompress.evaluation import evaluate, open_reader

    state = state_of(context)
    source = open_data(data)
    result = evaluate(
        open_reader(model),
        source,
        images,
        model=str(model),
        data=str(data),
        progress=state.console.progress(),
        workers=workers,
    )
    if json_output:
        state.console.json(result)
        return
    state.console.table(evaluation_rows([("", result)]))


def evaluation_rows(entries: Sequence[tuple[str, Any]]) -> list[list[str]]:
    """Evaluations as rows of text, a column each."""
    rows = [["", *(name or "value" for name, _ in entries)]]
    found = [entry for _, entry in entries]
    rows.append(["images", *(f"{entry['images']:,}" for entry in found)])
    rows.append(["lines read, %", *(f"{100 * entry['accuracy']:.2f}" for entry in found)])
    rows.append(["  95% interval", *(_interval(entry) for entry in found)])
    rows.append(["1 - NED", *(f"{entry['ned']:.4f}" for entry in found)])
    rows.append(["mean confidence", *(f"{e['confidence']['mean']:.4f}" for e in found)])
    rows.append(["calibration error", *(f"{e['confidence']['ece']:.4f}" for e in found)])
    return rows


def _interval(entry: Any) -> str:
    return f"{100 * entry['accuracy_low']:.2f} to {100 * entry['accuracy_high']:.2f}"


def compare(
    context: typer.Context,
    before: Annotated[Path, typer.Argument(metavar="A", help="The model to compare with.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="The model to judge.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Data to read with both: LMDB, labels or .toml.")
    ] = None,
    images: Images = None,
    json_output: Json = False,
) -> None:
    """Compare two models: bytes, and what reads worse.

    With --data both read it: lines and characters that B reads worse or better than A.
    """
    from hcompress import sizes

    state = state_of(context)
    for path in (before, after):
        check_covered(path)
    old, new = sizes.breakdown(before), sizes.breakdown(after)
    differences = [row.to_dict() for row in sizes.compare(old, new)]
    result: dict[str, Any] = {
        "a": {"model": str(before), **old.to_dict()},
        "b": {"model": str(after), **new.to_dict()},
        "differences": differences,
    }
    if data is not None:
        result["reading"] = _compare_reading(state, (before, after), data, images)
    if json_output:
        state.console.json(result)
        return
    state.console.table(_difference_rows(differences))
    if data is not None:
        _show_reading(state, result["reading"])


def _compare_reading(
    state: State, models: tuple[Path, Path], data: Path, images: int | None
) -> dict[str, Any]:
    from hcompress import evaluation
    from hcompress.data.source import open_data

    source = open_data(data)
    readers = [evaluation.open_reader(model) for model in models]
    before, after = (
        evaluation.read_lines(reader, source, images, state.console.progress())
        for reader in readers
    )
    return {
        "data": str(data),
        "a": evaluation.summarise(before),
        "b": evaluation.summarise(after),
        **evaluation.paired(before, after),
        "worse": _changed(before, after, lost=True),
        "better": _changed(before, after, lost=False),
        "characters": evaluation.characters(before, after),
    }


def _changed(before: Sequence[Line], after: Sequence[Line], lost: bool) -> list[dict[str, Any]]:
    """Lines that only A read exactly (``lost``), or only B."""
    return [
        {"index": one.index, "truth": one.truth, "a": one.read, "b": two.read}
        for one, two in zip(before, after, strict=True)
        if one.right != two.right and one.right == lost
    ]


def _difference_rows(differences: Sequence[dict[str, Any]]) -> list[list[str]]:
    rows = [["component", "A, bytes", "B, bytes", "change", "%"]]
    for row in differences:
        percent = "new" if row["percent"] is None else f"{row['percent']:+.1f}"
        sizes = [f"{row['before']:,}", f"{row['after']:,}", f"{row['delta']:+,}"]
        rows.append([row["component"], *sizes, percent])
    return rows


def _show_reading(state: State, result: dict[str, Any]) -> None:
    console = state.console
    console.out("")
    console.table(evaluation_rows([("A", result["a"]), ("B", result["b"])]))
    low, high = result["change_low"], result["change_high"]
    console.out(
        f"B reads {result['change']:+.2f} points ({low:+.2f} to {high:+.2f}):"
        f" {result['lost']} lines lost, {result['won']} won"
    )
    for name in ("worse", "better"):
        rows = [[name, "truth", "A", "B"]]
        rows += [[str(e["index"]), e["truth"], e["a"], e["b"]] for e in result[name][:MOST_LINES]]
        if len(rows) > 1:
            console.out("")
            console.table(rows)
    rows = [["character", "count", "wrong in A", "wrong in B"]]
    for entry in result["characters"][:MOST_LINES]:
        counts = (entry["count"], entry["wrong_before"], entry["wrong_after"])
        rows.append([entry["character"], *map(str, counts)])
    if len(rows) > 1:
        console.out("")
        console.table(rows)


COMMANDS: Final = (inspect, compare, eval_)
