"""What a graph in onnxruntime may take: memory, time, and no longer than anybody waits for it.

A graph of a few bytes can ask for more than any machine has. Its allocations come from one arena
with a limit, shared by all sessions; a thread breaks off what runs too long, or what a signal has
asked to stop, for Python hears of no signal until onnxruntime returns.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import onnxruntime

MOST_MEMORY: Final = 1 << 30
"""Bytes that all sessions of a process may take together. A batch of the widest lines takes a
third of it in a recogniser of 21 MB."""
MOST_FOLDED: Final = 256 << 20
"""Bytes of a constant that is worked out when a graph is loaded."""
MOST_SECONDS: Final = 120.0
"""One run, or one load. A batch takes seconds on the slowest machine."""
_GLANCE: Final = 0.5
"""Seconds between two looks at what runs."""
_TELEMETRY: Final = "ORT_DISABLE_TELEMETRY"


def no_telemetry() -> None:
    """Have onnxruntime write no files under HOME and call nobody: to be asked before its import.

    Whoever set the variable to something has decided.
    """
    if not os.environ.get(_TELEMETRY):
        os.environ[_TELEMETRY] = "1"


def bound(options: onnxruntime.SessionOptions) -> None:
    """Have a session take its memory from the arena that has a limit."""
    _make_arena()
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry(
        "optimization.constant_folding_max_output_size_in_bytes", str(MOST_FOLDED)
    )


@functools.cache
def _make_arena() -> None:
    """Once a process: onnxruntime keeps it to the end."""
    import onnxruntime

    place = onnxruntime.OrtMemoryInfo(
        "Cpu",
        onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
        0,
        onnxruntime.OrtMemType.DEFAULT,
    )
    arena = onnxruntime.OrtArenaCfg({"max_mem": MOST_MEMORY})
    onnxruntime.create_and_register_allocator(place, arena)


class Work:
    """One load or run, which can be broken off from another thread."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self.broken_off = False

    def break_off(self) -> None:
        self.broken_off = True


class Load(Work):
    """The making of a session."""

    def __init__(self, options: onnxruntime.SessionOptions) -> None:
        super().__init__(MOST_SECONDS)
        self._options = options

    def break_off(self) -> None:
        super().break_off()
        self._options.set_load_cancellation_flag(True)


class Run(Work):
    """A run of a session, with the options to give it."""

    def __init__(self) -> None:
        import onnxruntime

        super().__init__(MOST_SECONDS)
        self.options = onnxruntime.RunOptions()

    def break_off(self) -> None:
        super().break_off()
        self.options.terminate = True


class _Watch:
    """The thread that looks at what runs; started when something first does, and after a fork."""

    def __init__(self) -> None:
        self._works: set[Work] = set()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, work: Work) -> Iterator[None]:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._look, name="onnxruntime", daemon=True)
            self._thread.start()
        self._works.add(work)
        try:
            yield
        finally:
            self._works.discard(work)

    def break_all_off(self) -> None:
        for work in tuple(self._works):
            work.break_off()

    def _look(self) -> None:
        while True:
            time.sleep(_GLANCE)
            now = time.monotonic()
            for work in tuple(self._works):
                if now > work.ends:
                    work.break_off()


_WATCH: Final = _Watch()
watched = _WATCH.over
break_all_off = _WATCH.break_all_off


@contextmanager
def broken_off_by_signals(numbers: frozenset[int]) -> Iterator[None]:
    """While the block runs, one of these signals breaks off what runs in onnxruntime.

    In the main thread alone. A signal has a handler in Python, or it is not heard of here.
    """
    _keep_workers_out()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    listener = threading.Thread(target=_listen, args=(ours, numbers), daemon=True)
    listener.start()
    owner = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == owner:
            signal.set_wakeup_fd(before)
            # A worker that was forked holds both ends: to close them would not end the listener.
            theirs.shutdown(socket.SHUT_RDWR)
            listener.join()
        theirs.close()
        ours.close()


def _listen(ours: socket.socket, numbers: frozenset[int]) -> None:
    while heard := ours.recv(64):
        if numbers.intersection(heard):
            break_all_off()


@functools.cache
def _keep_workers_out() -> None:
    """Have signals of forked workers be their own."""
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
