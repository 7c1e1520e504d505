"""`hcompress triton`: a model repository for Triton Inference Server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from hcompress.cli.foreign_options import (
    Arch,
    BlankClass,
    Charset,
    Preprocessed,
    check_wanted,
    options_of,
)
from hcompress.cli.state import Json, Model, state_of

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def triton(
    context: typer.Context,
    model: Model,
    out: Annotated[Path, typer.Option("--out", help="The repository's folder.")],
    name: Annotated[
        str, typer.Option("--name", help="What Triton calls the model.")
    ] = "recogniser",
    batch: Annotated[
        int | None,
        typer.Option(
            "--batch", min=1, max=256, help="Preferred batch; measured here if not given."
        ),
    ] = None,
    wait_us: Annotated[
        int, typer.Option("--wait-us", min=0, max=10**6, help="How long a batch waits to fill up.")
    ] = 2000,
    instances: Annotated[
        int, typer.Option("--instances", min=1, max=256, help="Sessions, of one thread each.")
    ] = 1,
    charset: Charset = None,
    preprocessing: Preprocessed = None,
    blank: BlankClass = None,
    arch: Arch = None,
    json_output: Json = False,
) -> None:
    """Write a Triton model repository of an ONNX file.

    Copies the file, writes config.pbtxt for the onnxruntime backend on CPUs, with dynamic
    batching, and classes.json, which says what ids stand for. The preferred batch is the smallest
    with nine tenths of the most images a second, measured on this machine. Images are prepared,
    and ids made text, by the client: docs/serving.md has one.
    """
    from dataclasses import replace

    from hcompress.artifacts.source import open_source
    from hcompress.errors import UsageError
    from hcompress.export.triton.config import Batching
    from hcompress.export.triton.repository import batching_of, write_repository

    if not _NAME.fullmatch(name):
        raise UsageError(f"--name {name}: letters, digits, _, - and . only")
    file = open_source(model).opened
    options = options_of(charset, preprocessing, blank, arch)
    check_wanted(options, [file])
    plan: Batching = batching_of(file, batch)
    plan = replace(plan, wait=wait_us, instances=instances)
    write_repository(file, out, name, plan, options)
    console = state_of(context).console
    if json_output:
        console.json({"model": str(out / name), "batch": plan.most, "preferred": plan.preferred})
    else:
        console.out(f"{out / name}: batches of {plan.preferred} preferred, {plan.most} at most")


COMMANDS: Final = (triton,)
