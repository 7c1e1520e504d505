"""Commands that look at one model: inspect, eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hcompress.cli.foreign_options import (
    Arch,
    BlankClass,
    Charset,
    Preprocessed,
    check_wanted,
    options_of,
    said_digest,
)
from hcompress.cli.ignoring import (
    IgnoreCase,
    IgnoreCharacters,
    IgnorePunctuation,
    IgnoreSpace,
    IgnoreWidth,
    ignored_of,
    show_ignored,
)
from hcompress.cli.state import Data, Images, Json, Model, state_of
from hcompress.foreign.options import AS_FOUND
from hcompress.strict.schema import MOST_WORKERS


def inspect(context: typer.Context, model: Model, json_output: Json = False) -> None:
    """Show what a model file's bytes are spent on.

    Reads checkpoints (.safetensors, .pt), ONNX files and engines without loading them. The rows
    add up to the file exactly.
    """
    from hcompress import sizes
    from hcompress.artifacts.source import open_model
    from hcompress.foreign.parts import parts_of
    from hcompress.reports.size_table import breakdown_rows

    console = state_of(context).console
    file = open_model(model)
    parts = parts_of(file)
    found = sizes.breakdown(file, parts.groups)
    techniques = (*sizes.techniques_of(file), *parts.techniques)
    if json_output:
        said = {"remarks": list(parts.remarks)} if parts.remarks else {}
        listed = {**found.to_dict(), "techniques": list(techniques), **said}
        console.json({"file": str(found.path), **listed})
        return
    for line in parts.remarks:
        console.say(line)
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
    of: Annotated[
        Path | None,
        typer.Option("--of", help="Count the characters of this UTF-8 file apart from the others."),
    ] = None,
    ignore_case: IgnoreCase = False,
    ignore_space: IgnoreSpace = False,
    ignore_width: IgnoreWidth = False,
    ignore_punctuation: IgnorePunctuation = False,
    ignore_characters: IgnoreCharacters = "",
    charset: Charset = None,
    preprocessing: Preprocessed = None,
    blank: BlankClass = None,
    arch: Arch = None,
    json_output: Json = False,
) -> None:
    """Measure how well a model reads labelled data.

    Gives accuracy with its 95% interval, 1-NED, and the calibration of the confidence. Texts are
    compared to the very character; what --ignore-... names does not count. The literature's
    protocol for words is --ignore-case with --ignore-punctuation and --ignore-space.
    """
    from hcompress.artifacts.beside import lists_digest
    from hcompress.artifacts.source import open_source
    from hcompress.charset import read_charset
    from hcompress.compute.libraries import require
    from hcompress.data.source import open_data
    from hcompress.evaluation.evaluate import evaluate
    from hcompress.evaluation.labels import said
    from hcompress.evaluation.readers import open_reader

    state = state_of(context)
    if workers:
        require("eval", ("torch",))
    ignored = ignored_of(
        ignore_case, ignore_space, ignore_width, ignore_punctuation, ignore_characters
    )
    chosen = None if of is None else frozenset(read_charset(of))
    found = open_source(model)
    options = options_of(charset, preprocessing, blank, arch)
    check_wanted(options, [found.opened])
    reader = open_reader(found.opened, options)  # before the data, which may need fonts
    source = open_data(data)
    result = evaluate(
        reader,
        source,
        images,
        model=str(model),
        model_digest=found.digest,
        lists_digest=lists_digest(found.opened) if options == AS_FOUND else said_digest(options),
        data=str(data),
        progress=state.console.progress(),
        workers=workers,
        of=chosen,
        ignored=ignored,
    )
    for line in said(result["unmatched"], result["images"]) if "unmatched" in result else ():
        state.console.say(line)
    if json_output:
        state.console.json(result)
        return
    state.console.table(evaluation_rows([("", result)]))
    show_ignored(result, state)
    if of is not None:
        state.console.table(_rows_of(of, result["of"]))


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


def _rows_of(of: Path, counted: Mapping[str, Any]) -> list[list[str]]:
    rows = [["characters", "there", "read, %"]]
    for name, key in ((f"of {of}", "these"), ("others", "others")):
        share = counted[key]["accuracy"]
        percent = "–" if share is None else f"{100 * share:.2f}"
        rows.append([name, f"{counted[key]['count']:,}", percent])
    return rows


def _interval(entry: Any) -> str:
    return f"{100 * entry['accuracy_low']:.2f} to {100 * entry['accuracy_high']:.2f}"


COMMANDS: Final = (inspect, eval_)
