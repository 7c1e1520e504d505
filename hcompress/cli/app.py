"""The app: every command in one place, the stages among them from one explicit dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import typer

from hcompress import __version__
from hcompress.cli import (
    bench_command,
    card_command,
    compare_command,
    coverage_command,
    gate_command,
    import_command,
    model_commands,
    plan_command,
    read_command,
    run_commands,
    serve_command,
    shrink_command,
    study_command,
    tool_commands,
    triton_command,
)
from hcompress.cli.console import Console
from hcompress.cli.stage_commands import add_stage
from hcompress.cli.state import new_state
from hcompress.stages.base import Stage

_OWN_COMMANDS: Final = ("import",)
"""Stages whose command says more than a stage's does."""


def build_app(stages: Mapping[str, type[Stage]]) -> typer.Typer:
    """The whole command line. Imports nothing heavy."""
    app = typer.Typer(
        name="hcompress",
        help="Make a text recogniser with a huge character set small and fast (Hamming OCR).",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def start(
        context: typer.Context,
        _version: Annotated[
            bool,
            typer.Option(
                "--version", callback=_print_version, is_eager=True, help="Print the version."
            ),
        ] = False,
        _debug: Annotated[
            bool, typer.Option("--debug", help="Show the traceback of an error. Works anywhere.")
        ] = False,
    ) -> None:
        context.obj = new_state(stages)

    for command in (
        *shrink_command.COMMANDS,
        *run_commands.COMMANDS,
        *study_command.COMMANDS,
        *plan_command.COMMANDS,
        *model_commands.COMMANDS,
        *compare_command.COMMANDS,
        *read_command.COMMANDS,
        *serve_command.COMMANDS,
        *triton_command.COMMANDS,
        *card_command.COMMANDS,
        *coverage_command.COMMANDS,
        *import_command.COMMANDS,
        *bench_command.COMMANDS,
        *gate_command.COMMANDS,
        *tool_commands.COMMANDS,
    ):
        app.command(command.__name__.rstrip("_").replace("_", "-"))(command)
    for kind in stages.values():
        if kind.name not in _OWN_COMMANDS:
            add_stage(app, kind)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        Console().out(f"hcompress {__version__}")
        raise typer.Exit
