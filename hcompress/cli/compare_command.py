"""`hcompress compare`: what a second model weighs more, reads worse, and keeps of the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hcompress.cli.foreign_options import (
    Arch,
    BlankClass,
    Charset,
    Preprocessed,
    check_wanted,
    options_of,
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
from hcompress.cli.model_commands import evaluation_rows
from hcompress.cli.state import Images, Json, State, state_of
from hcompress.formats.open import ModelFile

if TYPE_CHECKING:
    from hcompress.lab.bench.rapidocr import RapidOcrReader


MOST_LINES: Final = 20
"""Rows of differences shown to people; --json has them all."""
_KEPT: Final = {
    "same_text": "same text",
    "frames_kept": "frames kept",
    "sure_frames_kept": "sure frames kept",
    "rare_frames_kept": "rare sure frames kept",
    "sure_characters_kept": "sure characters kept",
}
"""What people are told, by the names of `evaluation.pair`."""


def compare(
    context: typer.Context,
    before: Annotated[
        Path,
        typer.Argument(metavar="A", help="The model to compare with, or rapidocr: a peer."),
    ],
    after: Annotated[Path, typer.Argument(metavar="B", help="The model to judge.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Read this with both: LMDB, labels, .toml, or a folder of images without labels.",
        ),
    ] = None,
    images: Images = None,
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
    """Compare two models: bytes, and what reads worse.

    With --data, lists the lines and characters that B reads worse or better than A. Of recognisers
    from elsewhere with the same classes it also says which frames and characters of A's B keeps.
    Give `rapidocr` in place of a model for RapidOCR's recogniser (the extra bench): then only lines
    count whose every character both know, and texts are compared after NFKC, without white space.
    Beside a file made here from one of elsewhere, `rapidocr` is the very file in that package.
    """
    from hcompress import sizes
    from hcompress.foreign.parts import parts_of

    state = state_of(context)
    ignored = ignored_of(
        ignore_case, ignore_space, ignore_width, ignore_punctuation, ignore_characters
    )
    sides = (before, after)
    files, peers = _opened(sides)
    options = options_of(charset, preprocessing, blank, arch)
    check_wanted(options, files)
    for peer in peers.values():
        state.console.say(peer.title)
    old, new = (sizes.breakdown(file, parts_of(file).groups) for file in files)
    names = [peers[path].title if path in peers else str(path) for path in sides]
    differences = [row.to_dict() for row in sizes.compare(old, new)]
    result: dict[str, Any] = {
        "a": {"model": names[0], **old.to_dict()},
        "b": {"model": names[1], **new.to_dict()},
        "differences": differences,
    }
    if data is not None:
        from hcompress.data.source import open_images
        from hcompress.evaluation.pair import compare_readers, open_original

        progress = state.console.progress()
        first, second = (
            peers[path] if path in peers else open_original(file, other, progress, options)
            for path, file, other in zip(sides, files, reversed(files), strict=True)
        )
        source = open_images(data, progress.say)  # after the models: it may need fonts
        found = compare_readers(
            first, second, source, images, progress, with_peer=bool(peers), ignored=ignored
        )
        result["reading"] = {"data": str(data), **found}
    if json_output:
        state.console.json(result)
        return
    state.console.table(_difference_rows(differences))
    if data is not None:
        _show_reading(state, result["reading"])


def _opened(sides: Sequence[Path]) -> tuple[list[ModelFile], dict[Path, RapidOcrReader]]:
    """Both files, and the peers among them by what they were called."""
    from hcompress.artifacts.source import open_model
    from hcompress.foreign.header import foreign_header
    from hcompress.lab.bench import rapidocr

    files = {path: open_model(path) for path in sides if not rapidocr.is_meant(path)}
    peers: dict[Path, RapidOcrReader] = {}
    for path in sides:
        if path not in files and path not in peers:
            if any(foreign_header(file) is not None for file in files.values()):
                files[path] = open_model(path)
            else:
                peers[path] = rapidocr.RapidOcrReader()
    return [files.get(path) or open_model(peers[path].file) for path in sides], peers


def _difference_rows(differences: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    rows = [["component", "A, bytes", "B, bytes", "change", "%"]]
    for row in differences:
        percent = "new" if row["percent"] is None else f"{row['percent']:+.1f}"
        sizes = [f"{row['before']:,}", f"{row['after']:,}", f"{row['delta']:+,}"]
        rows.append([row["component"], *sizes, percent])
    return rows


def _show_reading(state: State, result: Mapping[str, Any]) -> None:
    console = state.console
    console.out("")
    if (common := result["common"]) is not None:
        console.out(
            f"{common['counted']:,} of {common['read']:,} lines have only characters that both"
            f" know; texts after {common['equal_after']}"
        )
    if result["labelled"]:
        _show_right(state, result)
    else:
        console.out(f"{result['images']:,} images without labels: nobody knows what is right")
    _show_kept(state, result)
    for name in ("worse", "better", "different"):
        entries = result.get(name, ())
        wanted = ("a", "b") if name == "different" else ("truth", "a", "b")
        rows = [[str(e["index"]), *(e[key] for key in wanted)] for e in entries[:MOST_LINES]]
        _show_rows(state, [name, *(key.upper() if len(key) == 1 else key for key in wanted)], rows)
    rows = [
        [entry["character"], *(str(entry[key]) for key in ("count", "wrong_before", "wrong_after"))]
        for entry in result.get("characters", ())[:MOST_LINES]
    ]
    _show_rows(state, ["character", "count", "wrong in A", "wrong in B"], rows)


def _show_right(state: State, result: Mapping[str, Any]) -> None:
    from hcompress.evaluation.labels import said

    console = state.console
    console.table(evaluation_rows([("A", result["a"]), ("B", result["b"])]))
    for side in ("a", "b"):
        if (wrong := result[side].get("unmatched")) is not None:
            first, *more = said(wrong, result[side]["images"])
            for line in (f"{side.upper()}: {first}", *more):
                console.say(line)
    show_ignored(result, state)
    low, high = result["change_low"], result["change_high"]
    console.out(
        f"B reads {result['change']:+.2f} points ({low:+.2f} to {high:+.2f}):"
        f" {result['lost']} lines lost, {result['won']} won"
    )


def _show_kept(state: State, result: Mapping[str, Any]) -> None:
    from hcompress.foreign.kept import SURE

    if result["kept"] is None:
        state.console.out(f"same text: {_percent(result['same_text'])}% of lines")
        return
    rows = [
        [_KEPT[name], _percent(entry["share"]), f"{entry['of']:,}"]
        for name, entry in result["kept"].items()
    ]
    _show_rows(state, ["B of A's answers", "%", "of"], rows)
    state.console.out(
        f"frames that A takes for a character: by what B says in the same place; characters: in any"
        f" place. Sure: p > {SURE}"
    )


def _show_rows(state: State, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table of its own, unless it is empty."""
    if rows:
        state.console.out("")
        state.console.table([header, *rows])


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f}"


COMMANDS: Final = (compare,)
