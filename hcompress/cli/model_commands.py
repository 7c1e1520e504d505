"""Commands that look at models: inspect, compare, eval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hcompress.cli.state import Data, Images, Json, Model, State, state_of
from hcompress.formats.open import ModelFile
from hcompress.strict.schema import MOST_WORKERS

if TYPE_CHECKING:
    from hcompress.evaluation.readers import Reader


MOST_LINES: Final = 20
"""Rows of differences shown to people; --json has them all."""


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
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", help="Read right whether upper or lower case.")
    ] = False,
    ignore_space: Annotated[
        bool, typer.Option("--ignore-space", help="Read right with more or fewer spaces.")
    ] = False,
    ignore_width: Annotated[
        bool,
        typer.Option("--ignore-width", help="Full-width forms are the plain ones (NFKC)."),
    ] = False,
    ignore_punctuation: Annotated[
        bool,
        typer.Option(
            "--ignore-punctuation", help="Punctuation and symbols don't count, misread or not."
        ),
    ] = False,
    ignore_characters: Annotated[
        str, typer.Option("--ignore-characters", help="Nor do these, such as the dot of a plate.")
    ] = "",
    json_output: Json = False,
) -> None:
    """Measure how well a model reads labelled data.

    Gives accuracy with its 95% interval, 1-NED, and the calibration of the confidence. Texts are
    compared to the very character; what --ignore-... names does not count. The literature's
    protocol for words is --ignore-case with --ignore-punctuation and --ignore-space.
    """
    from hcompress.artifacts.source import open_source
    from hcompress.charset import read_charset
    from hcompress.compute.libraries import require
    from hcompress.data.source import open_data
    from hcompress.evaluation.evaluate import evaluate
    from hcompress.evaluation.readers import open_reader
    from hcompress.metrics import Ignore, Ignored

    state = state_of(context)
    if workers:
        require("eval", ("torch",))
    asked = {
        Ignore.CASE: ignore_case,
        Ignore.SPACE: ignore_space,
        Ignore.WIDTH: ignore_width,
        Ignore.PUNCTUATION: ignore_punctuation,
    }
    kinds = frozenset(kind for kind, said in asked.items() if said)
    chosen = None if of is None else frozenset(read_charset(of))
    source = open_data(data)
    found = open_source(model)
    result = evaluate(
        open_reader(found.opened),
        source,
        images,
        model=str(model),
        model_digest=found.digest,
        data=str(data),
        progress=state.console.progress(),
        workers=workers,
        of=chosen,
        ignored=Ignored(kinds, ignore_characters),
    )
    if json_output:
        state.console.json(result)
        return
    state.console.table(evaluation_rows([("", result)]))
    show_ignored(result, state)
    if of is not None:
        state.console.table(_rows_of(of, result["of"]))


def show_ignored(result: Mapping[str, Any], state: State) -> None:
    """Say what did not count in an evaluation, if anything."""
    if "ignored" in result:
        kinds, own = result["ignored"].values()
        state.console.out("not counted: " + ", ".join([*kinds, *own]))


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


def compare(
    context: typer.Context,
    before: Annotated[
        Path,
        typer.Argument(metavar="A", help="The model to compare with, or rapidocr: a peer."),
    ],
    after: Annotated[Path, typer.Argument(metavar="B", help="The model to judge.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Read this with both: LMDB, labels or .toml.")
    ] = None,
    images: Images = None,
    json_output: Json = False,
) -> None:
    """Compare two models: bytes, and what reads worse.

    With --data, lists the lines and characters that B reads worse or better than A. Give
    `rapidocr` in place of a model for RapidOCR's recogniser (the extra bench): then only lines
    count whose every character both know, and texts are compared after NFKC, without white space.
    """
    from hcompress import sizes
    from hcompress.artifacts.source import open_model
    from hcompress.foreign.parts import parts_of
    from hcompress.lab.bench import rapidocr

    state = state_of(context)
    sides = (before, after)
    peers = {path: rapidocr.RapidOcrReader() for path in {*sides} if rapidocr.is_meant(path)}
    for peer in peers.values():
        state.console.say(peer.title)
    files = [open_model(peers[path].file if path in peers else path) for path in sides]
    old, new = (sizes.breakdown(file, parts_of(file).groups) for file in files)
    names = [peers[path].title if path in peers else str(path) for path in sides]
    differences = [row.to_dict() for row in sizes.compare(old, new)]
    result: dict[str, Any] = {
        "a": {"model": names[0], **old.to_dict()},
        "b": {"model": names[1], **new.to_dict()},
        "differences": differences,
    }
    if data is not None:
        known = [peers.get(path, file) for path, file in zip(sides, files, strict=True)]
        result["reading"] = _compare_reading(state, known, bool(peers), data, images)
    if json_output:
        state.console.json(result)
        return
    state.console.table(_difference_rows(differences))
    if data is not None:
        _show_reading(state, result["reading"])


def _compare_reading(
    state: State,
    models: Sequence[ModelFile | Reader],
    with_peer: bool,
    data: Path,
    images: int | None,
) -> dict[str, Any]:
    from hcompress.data.source import open_data
    from hcompress.evaluation.compare import FOLDING, common_lines, compare_lines
    from hcompress.evaluation.evaluate import read_lines
    from hcompress.evaluation.readers import open_reader

    source = open_data(data)
    readers = [open_reader(m) if isinstance(m, ModelFile) else m for m in models]
    before, after = (
        read_lines(reader, source, images, state.console.progress()) for reader in readers
    )
    common = None
    if with_peer:
        total = len(before)
        before, after = common_lines(before, after, [reader.characters for reader in readers])
        common = {"read": total, "counted": len(before), "equal_after": FOLDING}
    return {"data": str(data), "common": common, **compare_lines(before, after)}


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
    if (common := result["common"]) is not None:
        console.out(
            f"{common['counted']:,} of {common['read']:,} lines have only characters that both"
            f" know; texts after {common['equal_after']}"
        )
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
