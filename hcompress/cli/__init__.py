"""The command line: parse, call, print, exit code. Imports no torch, onnx or numpy."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping, Sequence

from hcompress.cli.console import take_closed_streams
from hcompress.cli.exits import Guard, let_go, signals_raise
from hcompress.compute.bounds import no_telemetry
from hcompress.stages.base import Stage

DEBUG = "--debug"


def main(argv: Sequence[str] | None = None, stages: Mapping[str, type[Stage]] | None = None) -> int:
    """Run one command; return its exit code.

    ``argv`` comes without the program's name; ``stages`` are ours if none are given.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # Wherever it stands: people add it to the end of the command that failed.
    debug = DEBUG in arguments or "HCOMPRESS_DEBUG" in os.environ
    arguments = [argument for argument in arguments if argument != DEBUG]
    if not debug and not sys.warnoptions:
        warnings.simplefilter("ignore")
    take_closed_streams()
    no_telemetry()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # No option before a command's name takes a value.
    command = next((word for word in arguments if not word.startswith("-")), "hcompress")
    with Guard(debug, command) as guard, signals_raise():
        from hcompress.cli.app import build_app

        app = build_app(_our_stages() if stages is None else stages)
        outcome = app(arguments or ["--help"], prog_name="hcompress", standalone_mode=False)
        guard.code = outcome if isinstance(outcome, int) else 0
        sys.stdout.flush()
    return let_go(guard.code)


def _our_stages() -> Mapping[str, type[Stage]]:
    from hcompress.stages import STAGES

    stages: Mapping[str, type[Stage]] = STAGES
    return stages
