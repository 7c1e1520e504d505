"""`hcompress serve`: a recogniser over HTTP."""

from __future__ import annotations

import os
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
from hcompress.strict.schema import MOST_WORKERS

_LEVELS: Final = ("debug", "info", "warning", "error")


def serve(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="[MODEL]", help="An ONNX file or an artifact folder; none: the packaged model."
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 takes any that is free.")
    ] = 8000,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, max=MOST_WORKERS, help="Processes; one a processor if not given."
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", min=1, max=64, help="Threads of a worker that read.")
    ] = 1,
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=256, help="Images read together, at most.")
    ] = 16,
    wait_ms: Annotated[
        float,
        typer.Option("--wait-ms", min=0, max=1000, help="How long a batch waits to fill up."),
    ] = 0.0,
    queue: Annotated[
        int,
        typer.Option("--queue", min=1, max=65536, help="Images of a worker that wait, at most."),
    ] = 256,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=0.1, max=600, help="Seconds from a request to its answer."),
    ] = 10.0,
    max_body: Annotated[
        float, typer.Option("--max-body", min=0.01, max=256, help="MiB of a request.")
    ] = 16.0,
    max_images: Annotated[
        int, typer.Option("--max-images", min=1, max=4096, help="Images of a request.")
    ] = 64,
    max_pixels: Annotated[
        float, typer.Option("--max-pixels", min=0.01, max=40, help="Millions, of an image.")
    ] = 4.0,
    drain: Annotated[
        float,
        typer.Option(
            "--drain", min=0, max=600, help="Seconds to be not ready before taking no more."
        ),
    ] = 0.0,
    log_level: Annotated[
        str, typer.Option("--log-level", help=f"One of {', '.join(_LEVELS)}.")
    ] = "info",
    charset: Charset = None,
    preprocessing: Preprocessed = None,
    blank: BlankClass = None,
    arch: Arch = None,
) -> None:
    """Serve a recogniser over HTTP: POST /read, /docs, /metrics, /healthz, /readyz.

    Takes images as a form's files, in base64 in JSON, or one as the body. Reads what waits in
    batches of about one width. Refuses what is too large (413), no image (422), too much at a time
    (429) or too late (504), with the reason as JSON. At SIGTERM or Ctrl-C it answers what it has
    taken, then ends with 0. Logs lines of JSON on stderr.
    """
    from hcompress.artifacts.source import open_source
    from hcompress.compute.libraries import require
    from hcompress.errors import UsageError
    from hcompress.models import packaged_model
    from hcompress.serve.run import NEEDS

    require("serve", NEEDS)
    if log_level not in _LEVELS:
        raise UsageError(f"--log-level {log_level}: give one of {', '.join(_LEVELS)}")
    file = open_source(packaged_model() if model is None else model).opened
    options = options_of(charset, preprocessing, blank, arch)
    check_wanted(options, [file])

    from hcompress.serve.limits import MEGA, MIB, Limits, Settings
    from hcompress.serve.logs import log_as_json
    from hcompress.serve.run import serve as run

    log_as_json(log_level)
    limits = Limits(
        body=int(max_body * MIB),
        images=max_images,
        pixels=int(max_pixels * MEGA),
        seconds=timeout,
        queue=queue,
        batch=batch,
    )
    count = workers or len(os.sched_getaffinity(0))
    settings = Settings(limits, threads, wait_ms / 1000, drain)
    run(file, settings, (host, port), count, options)


COMMANDS: Final = (serve,)
