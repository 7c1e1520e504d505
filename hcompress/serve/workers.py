"""Workers of one process each, forked from one that has loaded the model and does nothing else.

uvicorn's own workers are spawned: each imports and loads everything anew, and shares nothing. A
fork shares every page that nobody writes to, the model's among them, and is there in milliseconds.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Final

from hcompress.errors import EnvironmentFailed

if TYPE_CHECKING:
    import socket

_LOG: Final = logging.getLogger("hcompress.serve")
_GLANCE: Final = 0.1
"""Seconds between two looks at the workers."""
_SHORT: Final = 2.0
"""Seconds after which a worker has lived."""
_MOST_SHORT: Final = 5
"""Workers in a row that die at once before no more is started."""
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


class Workers:
    """Keeps so many workers alive, by number, until a signal asks it to stop."""

    def __init__(
        self,
        listener: socket.socket,
        count: int,
        work: Callable[[int], int],
        gone: Callable[[int, int], None],
        patience: float,
    ) -> None:
        """``work`` is the life of a worker of some number, and answers its exit code; ``gone`` is
        told of each that ended, by number and process; ``patience`` is how long one may take to
        stop, in seconds."""
        self._listener = listener
        self._count = count
        self._work = work
        self._gone = gone
        self._patience = patience
        self._alive: dict[int, tuple[int, float]] = {}
        """By process: its number, and since when."""
        self._asked: list[int] = []
        self._short = 0

    def run(self) -> None:
        """Raises EnvironmentFailed if workers die as soon as they are started."""
        before = {number: signal.signal(number, self._ask) for number in _STOPPING}
        try:
            while not self._asked and self._short < _MOST_SHORT:
                working = {number for number, _ in self._alive.values()}
                for number in set(range(self._count)) - working:
                    self._fork(number)
                time.sleep(_GLANCE)
                self._reap()
        finally:
            self._stop()
            for number, handler in before.items():
                signal.signal(number, handler)
        if self._short >= _MOST_SHORT:
            raise EnvironmentFailed(f"{_MOST_SHORT} workers ended at once: the log says why")

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        self._asked.append(number)

    def _fork(self, number: int) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # A signal on the way to a worker must not meet a handler that is only ours.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        child = os.fork()
        if child == 0:
            self._live(number)
        self._alive[child] = (number, time.monotonic())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
        _LOG.info("worker started", extra={"worker": child})

    def _live(self, number: int) -> None:
        """A worker's life, in its own process; never returns."""
        code = 1
        try:
            for stop in _STOPPING:
                signal.signal(stop, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
            code = self._work(number)
        finally:
            if (error := sys.exception()) is not None:
                _LOG.critical("worker failed", exc_info=error)
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        """Forget the workers that have ended, and say so."""
        for child, (number, started) in list(self._alive.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended:
                continue
            lived = time.monotonic() - started
            self._short = self._short + 1 if lived < _SHORT else 0
            del self._alive[child]
            self._gone(number, child)
            code = os.waitstatus_to_exitcode(status)
            level = logging.INFO if self._asked and not code else logging.ERROR
            _LOG.log(level, "worker ended", extra={"worker": child, "exit": code})

    def _stop(self) -> None:
        """Ask all to stop; end those that take too long, or all at a second Ctrl-C."""
        self._listener.close()  # what no worker takes any more is refused, and doesn't hang
        self._asked = self._asked or [signal.SIGTERM]
        self._signal(signal.SIGTERM)
        ends = time.monotonic() + self._patience
        while self._alive:
            self._reap()
            if time.monotonic() > ends or signal.SIGINT in self._asked[1:]:
                self._signal(signal.SIGKILL)
            time.sleep(_GLANCE / 2)

    def _signal(self, number: int) -> None:
        for child in self._alive:
            os.kill(child, number)
