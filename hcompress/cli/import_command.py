"""`hcompress import`: the stage of that name, saying what it found and how."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from hcompress.cli.foreign_options import Arch, BlankClass, Charset, Preprocessed
from hcompress.cli.stage_commands import run_alone, show_made
from hcompress.cli.state import Json, State, state_of
from hcompress.errors import UsageError
from hcompress.foreign.options import split_charset
from hcompress.runs.recipe import DEFAULT_SEED, DEFAULT_THREADS, MOST_THREADS
from hcompress.stages.import_decoder import ImportDecoder
from hcompress.stages.import_model import ImportModel


def import_(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="An ONNX file, a known checkpoint (.pth, .pt, .safetensors), or rapidocr.",
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="The artifact's folder.")] = None,
    charset: Charset = None,
    preprocessing: Preprocessed = None,
    blank: BlankClass = None,
    arch: Arch = None,
    threads: Annotated[
        int, typer.Option("--threads", min=1, max=MOST_THREADS, help="Threads onnxruntime uses.")
    ] = DEFAULT_THREADS,
    force: Annotated[
        bool,
        typer.Option(
            "--force/--resume",
            help="Make it again, replacing an artifact of ours; or keep what is finished.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is found, and write nothing.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Take a recogniser from elsewhere: PP-OCR, ddddocr, docTR's, or whose ONNX file it may be.

    Finds the classifier, the charset, the blank and how images go in, says how it found each, and
    checks it all on drawn lines of the model's own characters (which needs the extra synth).
    Writes the same graph in one form, which runs wherever the old file ran. Of an encoder–decoder
    that is known (doctr-master, openocr-nrtr) it makes a recogniser that every stage takes.
    """
    state = state_of(context)
    file, name = (None, None) if charset is None else split_charset(charset)
    decoder = _decoder(source, arch)
    if decoder is not None and (file is None or preprocessing or blank):
        raise UsageError(
            f"{decoder}: say --charset FILE, its characters in order; --preprocessing and --blank"
            " are not for it"
        )
    if dry_run and decoder is not None and file is not None:
        _foresee(state, source, ImportDecoder(file, arch), json_output)
        return
    stage = ImportModel(file, name, preprocessing, blank, arch)
    if dry_run:
        _show(state, _found(state, source, stage), None, json_output)
        return
    if out is None:
        raise UsageError("import: say where to: --out DIR")
    common = {
        "source": source, "out": out, "seed": DEFAULT_SEED, "threads": threads, "teacher": None,
        "force": force,
    }  # fmt: skip
    if decoder is not None and file is not None:
        show_made(run_alone(ImportDecoder(file, arch), common, state)[1], None, json_output, state)
        return
    _, made = run_alone(stage, common, state)
    assert made.manifest is not None
    _show(state, dict(made.manifest.report), made.file, json_output)


def _decoder(source: Path, arch: str | None) -> str | None:
    """Which encoder–decoder the file is said to be, or is; None if it is none."""
    from hcompress.artifacts.source import open_source
    from hcompress.foreign.checkpoints.known_decoders import decoder_in
    from hcompress.foreign.checkpoints.state import read_state

    file = open_source(source).opened
    known = decoder_in(read_state(file), arch) if file.bare else None
    return None if known is None else known.name


def _foresee(state: State, source: Path, stage: ImportDecoder, as_json: bool) -> None:
    """Says what an encoder–decoder is found to be."""
    from hcompress.artifacts.source import open_source
    from hcompress.spec.header import Provenance
    from hcompress.stages.import_decoder import taken

    made, found, name = taken(stage, open_source(source).opened, Provenance(stage.name, None))
    if as_json:
        state.console.json({"arch": name, "characters": len(made.vocabulary.characters)})
        return
    for line in found:
        state.console.out(line)


def _found(state: State, source: Path, stage: ImportModel) -> dict[str, Any]:
    from hcompress.artifacts.source import open_source
    from hcompress.foreign.open import examine
    from hcompress.stages.import_model import found_in

    opened = examine(open_source(source).opened, stage.options)
    for line in opened.found:
        state.console.say(line)
    return found_in(opened.model)


def _show(state: State, found: dict[str, Any], file: Path | None, as_json: bool) -> None:
    console = state.console
    if as_json:
        written = {} if file is None else {"model": str(file), "bytes": file.stat().st_size}
        console.json({**written, **found})
        return
    part, charset = found["classifier"], found["charset"]
    console.pairs(
        [
            ("classifier", f"{part['features']} x {part['classes']:,}, {part['bytes']:,} bytes"),
            ("dead classes", f"{found['dead_classes']:,}"),
            ("transcription", f"{found['transcription']}, class {found['blank']} is blank"),
            ("charset", f"{charset['classes']:,} classes: {charset['source']}"),
            ("input", f"{found['input']['preprocessing']}, {found['input']['height']} high"),
        ]
    )
    if file is not None:
        console.out(str(file))


COMMANDS: Final = (import_,)
