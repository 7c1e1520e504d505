"""`hcompress plan`: every encoding of a model's head, bytes beside what is kept of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hcompress.cli.foreign_options import Arch, BlankClass, Charset, Preprocessed, options_of
from hcompress.cli.state import Json, state_of
from hcompress.errors import InputRefused
from hcompress.runs.recipe import DEFAULT_SEED, DEFAULT_THREADS, MOST_SEED, MOST_THREADS
from hcompress.stages.encode_head import EncodeHead
from hcompress.strict.schema import MOST_IMAGES

if TYPE_CHECKING:
    from onnx import ModelProto

    from hcompress.compress.plan_head import Row
    from hcompress.foreign.model import ForeignModel
    from hcompress.foreign.options import ImportOptions


LEGEND: Final = (
    "head, file: bytes. lost: points of lines right. Kept, %: same text, frames, sure ones, those"
    " of rare characters. codes-N: the codes of signs-N by distance alone, as in the paper; +5: the"
    " five nearest looked at again. The same bytes as signs-N: set beside, never chosen."
    " learnt-N: signs-N with learnt codes, by encode-head with steps; learnt-codes-N: these by"
    " distance."
)


def plan(
    context: typer.Context,
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Anybody's ONNX recogniser; or rapidocr."),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Lines to fit to and to judge by: a folder of images, an LMDB, a label file or"
            " .toml; drawn ones if not given.",
        ),
    ] = None,
    images: Annotated[
        int,
        typer.Option("--images", min=3, max=MOST_IMAGES, help="Lines used; a third of them judge."),
    ] = EncodeHead.images,
    max_loss: Annotated[
        float,
        typer.Option("--max-loss", min=0, max=100, help="Points of lines right that may be lost."),
    ] = EncodeHead.max_loss,
    charset: Charset = None,
    preprocessing: Preprocessed = None,
    blank: BlankClass = None,
    arch: Arch = None,
    learn_steps: Annotated[
        int,
        typer.Option(
            "--learn-steps",
            min=0,
            help="Steps in which codes are learnt too (EMU), half a second each with 13,000"
            " classes; 0: none are.",
        ),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, max=MOST_SEED, help="Seed.")] = DEFAULT_SEED,
    threads: Annotated[
        int, typer.Option("--threads", min=1, max=MOST_THREADS, help="Threads onnxruntime uses.")
    ] = DEFAULT_THREADS,
    json_output: Json = False,
) -> None:
    """Weigh every encoding of a recogniser's head against what it keeps.

    Fits each to the model's own answers, judges it on lines that it was not fitted to, and names
    the smallest that holds. `shrink` and the stage encode-head choose in the same way.
    """
    from hcompress.compress import encode_head as heads
    from hcompress.foreign.lines import line_source, taken
    from hcompress.heads.encodings.menu import signs_lengths

    state = state_of(context)
    found, stored = _opened(model, options_of(charset, preprocessing, blank, arch))
    lines = taken(line_source(data, found.spec, images, seed, state.console.say), 0, images)
    progress = state.console.progress()
    ground = heads.ground(found, lines, threads, progress)
    rows, chosen = heads.planned(ground, stored.ByteSize(), max_loss, seed, progress, every=True)
    learnt: list[Row] = []
    if learn_steps:
        from hcompress.training.learnt_head import learnt_rows

        lengths = signs_lengths(ground.teacher.weight.shape[1])
        learnt = learnt_rows(ground, lengths, learn_steps, seed, stored.ByteSize(), progress)
    if json_output:
        state.console.json(
            {"rows": [row.to_dict() for row in rows + learnt], "chosen": chosen.encoding}
        )
        return
    state.console.table(plan_rows(rows + learnt, chosen))
    state.console.out(LEGEND)
    state.console.out(why(rows, chosen, max_loss, len(ground.judged.texts)))


def _opened(path: Path, options: ImportOptions) -> tuple[ForeignModel, ModelProto]:
    """The recogniser, and its graph as it is stored. Raises InputRefused if the head is not its
    own."""
    from hcompress.artifacts.source import open_source
    from hcompress.foreign.header import foreign_header, is_foreign
    from hcompress.foreign.open import examine, open_stored

    file = open_source(path).opened
    if not is_foreign(file):
        raise InputRefused(
            f"{path}: a recogniser of ours: plan weighs heads of CTC recognisers from elsewhere;"
            " replace-head and factorise shrink this one's"
        )
    if foreign_header(file) is None:
        model = examine(file, options).model
        return model, model.proto
    model, stored = open_stored(file)
    if model.classifier.weight not in {one.name for one in stored.graph.initializer}:
        raise InputRefused(f"{path}: its head is encoded already: plan the file it came from")
    return model, stored


def plan_rows(rows: Sequence[Row], chosen: Row) -> list[list[str]]:
    """The encodings as rows of text, the smallest first, the chosen one marked."""
    table = [["", "encoding", "head", "file", "lost", "text", "frames", "sure", "rare"]]
    for row in sorted(rows, key=lambda row: row.bytes):
        kept = row.kept
        shares = (kept.same_text, kept.frames, kept.sure_frames, kept.rare_frames)
        table.append(
            [
                "→" if row is chosen else "",
                row.encoding,
                f"{row.bytes:,}",
                f"{row.file_bytes:,}",
                f"{row.loss:.2f}",
                *("–" if share is None else f"{100 * share:.2f}" for share in shares),
            ]
        )
    return table


def why(rows: Sequence[Row], chosen: Row, max_loss: float, lines: int) -> str:
    """Why that one was chosen, in a sentence."""
    from hcompress.compress.plan_head import FRAMES_KEPT, RARE_KEPT, SURE_KEPT

    asked = (
        f"loses no more than {max_loss:g} points on {lines:,} lines and keeps"
        f" {100 * FRAMES_KEPT:g}% of frames, {100 * SURE_KEPT:g}% of sure ones and"
        f" {100 * RARE_KEPT:g}% of those of rare characters"
    )
    if not chosen.holds(max_loss):
        return f"{chosen.encoding}: none of {len(rows)} {asked}; this one keeps most"
    smaller = sum(row.bytes < chosen.bytes for row in rows)
    less = f"; {smaller} smaller ones don't" if smaller else ""
    return f"{chosen.encoding}: the smallest of {len(rows)} that {asked}{less}"


COMMANDS: Final = (plan,)
