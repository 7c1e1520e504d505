"""Commands around the tool itself: doctor."""

from __future__ import annotations

from typing import Final

import typer

from hcompress.cli.state import Json, state_of


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


COMMANDS: Final = (doctor,)
