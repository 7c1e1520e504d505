"""What every command is handed: where to print, and which process of many it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, cast

import typer

from hcompress.cli.console import Console
from hcompress.compute.ranks import Ranks, from_environment
from hcompress.stages.base import Stage
from hcompress.strict.schema import MOST_IMAGES


@dataclass(frozen=True)
class State:
    """One invocation."""

    console: Console
    ranks: Ranks
    stages: Mapping[str, type[Stage]]


def new_state(stages: Mapping[str, type[Stage]]) -> State:
    ranks = from_environment()
    return State(Console(quiet=not ranks.first), ranks, stages)


def state_of(context: typer.Context) -> State:
    return cast(State, context.obj)


Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="A checkpoint, an ONNX file or an artifact folder.")
]
Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA", help="An LMDB folder, a label file (.txt, .tsv) or rendered text (.toml)."
    ),
]
Images = Annotated[
    int | None,
    typer.Option(
        "--images",
        min=1,
        max=MOST_IMAGES,
        help="Read N of the images only: the same ones each time, by chance.",
    ),
]
