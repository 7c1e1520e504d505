"""A service to be loaded: started as a user would, watched from outside."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from hcompress.errors import EnvironmentFailed

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_START: Final = 60.0
"""Seconds that a service may take until it is ready."""


class Service:
    """A running `hcompress serve`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
        self.port = port
        ends = time.monotonic() + _START
        while not self._answers():
            if process.poll() is not None or time.monotonic() > ends:
                raise EnvironmentFailed("the service did not start: start it by hand to see why")
            time.sleep(0.1)

    def _answers(self) -> bool:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            client.request("GET", "/readyz")
            return client.getresponse().status == 200
        except OSError:
            return False
        finally:
            client.close()

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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "hcompress", "serve", *arguments, "--port", str(port)],
            stderr=said,
        )
        try:
            yield Service(process, port)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
