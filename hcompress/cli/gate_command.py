"""`hcompress gate`: the verdict for people, for machines and for bots."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hcompress.cli.state import Json, state_of

if TYPE_CHECKING:
    from hcompress.cli.console import Console
    from hcompress.gate.outputs import Outputs
    from hcompress.gate.verdict import Verdict

Limits = Annotated[Path, typer.Argument(metavar="LIMITS", help="The limits: a TOML file.")]
Baseline = Annotated[
    Path | None,
    typer.Option("--baseline", help="A baseline to use instead of the limits' own."),
]
Root = Annotated[
    Path | None,
    typer.Option("--root", help="What paths are relative to; the limits' folder if not given."),
]
Base = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="REF",
        help="Compare with the baseline as of a branch, tag or commit, not with the file.",
    ),
]
Update = Annotated[bool, typer.Option("--update", help="Make what is measured now the baseline.")]
Reason = Annotated[
    str, typer.Option("--reason", help="Why the baseline changes; kept in its history.")
]
Markdown = Annotated[
    Path | None, typer.Option("--markdown", help="Write the summary to this file too.")
]
Junit = Annotated[Path | None, typer.Option("--junit", help="Write JUnit's XML to this file.")]
Annotations = Annotated[
    bool | None,
    typer.Option(
        "--annotations/--no-annotations",
        help="Print GitHub's annotations on stderr; by default if GITHUB_ACTIONS is true.",
    ),
]


def gate(
    context: typer.Context,
    limits: Limits,
    baseline: Baseline = None,
    root: Root = None,
    base: Base = None,
    update: Update = False,
    reason: Reason = "",
    markdown: Markdown = None,
    junit: Junit = None,
    annotations: Annotations = None,
    json_output: Json = False,
) -> None:
    """Check sizes and accuracy against limits.

    Compares with a committed baseline too, and ends with exit code 1 if a limit is broken. Under
    GitHub Actions it also appends the table to the job's summary, and annotates. Whatever else ends
    it leaves a summary that says so.
    """
    from hcompress.errors import GateFailed, HcompressError, UsageError
    from hcompress.gate.outputs import Outputs
    from hcompress.gate.run import run_gate, update_gate

    console = state_of(context).console
    if annotations is None:
        annotations = os.environ.get("GITHUB_ACTIONS") == "true"
    outputs = Outputs(limits, markdown, junit, console.say if annotations else None)
    try:
        if reason and not update:
            raise UsageError("--reason goes with --update")
        if update and base is not None:
            raise UsageError("--update writes the file, --base reads another: give one of them")
        outputs.begin()
        if update:
            date = time.strftime("%Y-%m-%d")
            console.say(f"wrote {update_gate(limits, baseline, reason, date, root)}")
        verdict = run_gate(limits, baseline, root, base)
    except HcompressError as error:
        outputs.fail(str(error))
        raise
    _show(console, verdict, outputs, json_output)
    if verdict.failed:
        raise GateFailed(verdict.summary)
    console.say(verdict.summary)


def _show(console: Console, verdict: Verdict, outputs: Outputs, json_output: bool) -> None:
    from hcompress.gate.show import NAMES, cells, notes

    # Before the table: whoever closes stdout early must not leave an unfinished summary.
    try:
        outputs.finish(verdict)
    finally:
        if json_output:
            console.json(verdict.to_dict())
        else:
            console.table([row[:-1] for row in cells(verdict)], names=NAMES)
            for line in ("", *said) if (said := notes(verdict)) else ():
                console.out(line)


COMMANDS: Final = (gate,)
