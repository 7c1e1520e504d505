"""Runs a command, kills it at its N-th durable operation, runs it again, and looks.

A script: it forks a child for each run, before any thread or torch operation exists. What the
undisturbed run imported is then imported here, once for all the others. Durable
operations are fsync, rename, replace, unlink and rmdir calls, and every step of progress: what
a power cut may fall between.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hcompress.progress import LineProgress, NoProgress

OPERATIONS = ("fsync", "rename", "replace", "unlink", "rmdir")
WEIGHTS = (".safetensors", ".onnx")


class Meter:
    """Counts durable operations, and ends the process at the chosen one."""

    def __init__(self, limit: int | None, log: Path) -> None:
        self.limit = limit
        self.count = 0
        self.log = log

    def tick(self) -> None:
        self.count += 1
        if self.count == self.limit:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        for name in OPERATIONS:
            setattr(os, name, self._counted(getattr(os, name)))
        for kind in (NoProgress, LineProgress):
            kind.advance = self._counted(kind.advance)  # type: ignore[method-assign]

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.tick()  # dies before the operation; the next tick dies after it
            return real(*arguments, **named)

        return call


def run_forked(command: Sequence[str], stages: Any, limit: int | None, log: Path) -> dict[str, Any]:
    """Run the command in a child; how it ended and how many operations it made."""
    started = time.monotonic()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        code = 70
        try:
            _redirect(log)
            meter = Meter(limit, log)
            meter.install()
            from hcompress.cli import main

            code = main(command, stages)
            answer = {"operations": meter.count, "modules": sorted(sys.modules)}
            os.write(writer, json.dumps(answer).encode())
        finally:
            os._exit(code)
    os.close(writer)
    answer = json.loads(b"".join(iter(lambda: os.read(reader, 4096), b"")) or b"{}")
    os.close(reader)
    _, status = os.waitpid(child, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "operations": answer.get("operations", 0),
        "modules": answer.get("modules", []),
        "seconds": round(time.monotonic() - started, 2),
        "log": log.read_text(errors="replace"),
    }


def _redirect(log: Path) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(handle, stream)


def weights_in(folder: Path) -> dict[str, str]:
    """Digest of every weights and ONNX file of a run, partial folders included."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in WEIGHTS
    }


def finished_stages(folder: Path) -> dict[str, int]:
    """Finished artifacts of a run or a study, with the time their manifest was written."""
    found = sorted([*folder.glob("0*/manifest.json"), *folder.glob("*/0*/manifest.json")])
    return {str(path.parent.relative_to(folder)): path.stat().st_mtime_ns for path in found}


def spread(total: int, points: int) -> list[int]:
    """``points`` operation numbers from the first to the last, evenly."""
    wanted = {1 + round(n * (total - 1) / max(1, points - 1)) for n in range(points)}
    return sorted(wanted)


def main() -> int:
    """Arguments: one JSON object {"command", "folder", "points", "stages"}.

    ``command`` holds "{out}" where the run's folder goes; ``stages`` is "module:name" or null.
    Prints {"whole", "weights", "trials": [...]}.
    """
    task = json.loads(sys.argv[1])
    stages = None
    if task["stages"]:
        module, _, name = task["stages"].partition(":")
        stages = getattr(importlib.import_module(module), name)
    folder = Path(task["folder"])

    def run(name: str, limit: int | None) -> dict[str, Any]:
        command = [part.replace("{out}", str(folder / name)) for part in task["command"]]
        return run_forked(command, stages, limit, folder / f"{name}.log")

    # The first run also fills caches of other people's (fonts, kernels): it is not counted.
    for name in run("first", None)["modules"]:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    whole = run("whole", None)
    trials = []
    wanted = spread(whole["operations"], task["points"]) if whole["code"] == 0 else []
    for limit in wanted:
        name = f"kill{limit}"
        killed = run(name, limit)
        kept = finished_stages(folder / name)
        resumed = run(name, None)
        trials.append(
            {
                "limit": limit,
                "killed": killed,
                "resumed": resumed,
                "kept": sorted(kept),
                "redone": [
                    stage
                    for stage, stamp in kept.items()
                    if finished_stages(folder / name).get(stage) != stamp
                ],
                "weights": weights_in(folder / name),
            }
        )
    answer = {
        "whole": whole,
        "weights": weights_in(folder / "whole"),
        "trials": trials,
    }
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
