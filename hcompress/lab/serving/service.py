"""A service to be loaded: started as a user would, watched from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from hcompress.errors import EnvironmentFailed

_TICKS = os.sysconf("SC_CLK_TCK")


class Service:
    """A running `hcompress serve`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = 0
        assert process.stderr is not None
        for line in process.stderr:
            with contextlib.suppress(ValueError, TypeError):
                said = json.loads(line)
                self.port = said.get("port", 0)
            if self.port:
                break
        else:
            raise EnvironmentFailed("the service ended before it listened")
        threading.Thread(target=self._drop, args=(process.stderr,), daemon=True).start()

    @staticmethod
    def _drop(lines: Iterator[str]) -> None:
        for _ in lines:
            pass

    @property
    def workers(self) -> list[int]:
        """Their process numbers."""
        own = self._process.pid
        return [int(n) for n in Path(f"/proc/{own}/task/{own}/children").read_text().split()]

    def cpu_seconds(self) -> float:
        """Of all workers that live."""
        total = 0
        for worker in self.workers:
            fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / _TICKS

    def memory(self) -> int:
        """Bytes of all workers and their parent: pages that several share count once."""
        total = 0
        for process in (self._process.pid, *self.workers):
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) << 10
        return total

    def kill_one(self) -> int:
        """kill -9 of a worker; its number."""
        worker = self.workers[0]
        os.kill(worker, signal.SIGKILL)
        return worker

    def stop(self) -> int:
        """The exit code after SIGTERM."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)


@contextlib.contextmanager
def running(arguments: Sequence[str]) -> Iterator[Service]:
    """`hcompress serve` with these arguments, on a port that is free."""
    process = subprocess.Popen(
        [sys.executable, "-m", "hcompress", "serve", *arguments, "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Service(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
