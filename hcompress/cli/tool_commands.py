"""Commands around data and machines: synth, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from hcompress.cli.state import Data, Json, state_of
from hcompress.strict.schema import MOST_IMAGES, MOST_WORKERS


def synth(
    context: typer.Context,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The LMDB's folder.")],
    count: Annotated[
        int | None,
        typer.Option("--count", min=1, max=MOST_IMAGES, help="Write N of them only, by chance."),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Write a PNG of some samples too.")
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=0, max=MOST_WORKERS, help="Processes that render.")
    ] = 1,
    json_output: Json = False,
) -> None:
    """Write rendered text, or any data, as an LMDB.

    If it was stopped, type the same command again: it goes on from there. The images do not depend
    on --workers.
    """
    from hcompress.compute.libraries import require
    from hcompress.data.source import open_data
    from hcompress.data.synth import contact_sheet, write_lmdb
    from hcompress.errors import UsageError

    if workers:
        require("synth", ("torch",))
    console = state_of(context).console
    if sheet is not None and sheet.exists():
        raise UsageError(f"{sheet}: exists: choose another --sheet, or remove it")
    source = open_data(data)
    written = write_lmdb(source, out, workers, console.progress(), count)
    if sheet is not None:
        contact_sheet(source, sheet)
        console.say(f"wrote {sheet}")
    if json_output:
        console.json(
            {
                "path": str(written.folder),
                "samples": written.samples,
                "bytes": written.bytes,
                "resumed": written.resumed,
                "digest": source.digest,
            }
        )
    else:
        console.out(str(written.folder))


def doctor(context: typer.Context, json_output: Json = False) -> None:
    """Say what this machine has: versions, GPU, fonts."""
    from hcompress.doctor import examine, summary_rows
    from hcompress.errors import EnvironmentFailed

    console = state_of(context).console
    found = examine()
    if json_output:
        console.json(found)
    else:
        console.pairs(summary_rows(found))
    if found["missing"]:
        names = " ".join(found["missing"])
        raise EnvironmentFailed(f"packages are missing: pip install {names}")


COMMANDS: Final = (synth, doctor)
