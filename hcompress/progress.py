"""Progress without a terminal: nothing, or plain lines that never come too often."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol


class Progress(Protocol):
    """Where a stage says how far it is. Implementations draw a bar, print lines or do nothing."""

    def start(self, label: str, total: int, done: int = 0) -> None: ...
    def advance(self, count: int = 1, note: str = "") -> None: ...
    def finish(self) -> None: ...
    def say(self, text: str) -> None: ...


FIRST_LINE: Final = 2.0
"""Seconds of silence before the first line: short work needs none."""
INTERVAL: Final = 10.0
"""Seconds between lines."""


class NoProgress:
    """Says nothing at all."""

    def start(self, label: str, total: int, done: int = 0) -> None: ...
    def advance(self, count: int = 1, note: str = "") -> None: ...
    def finish(self) -> None: ...
    def say(self, text: str) -> None: ...


class LineProgress:
    """A line now and then: share done, time left, and the last note."""

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        interval: float = INTERVAL,
    ) -> None:
        self._write = write
        self._clock = clock
        self._interval = interval
        self._label = ""
        self._total = self._done = self._before = 0
        self._started = self._next = 0.0
        self._said = False

    def start(self, label: str, total: int, done: int = 0) -> None:
        self._label, self._total, self._done, self._before = label, total, done, done
        self._started = self._clock()
        self._next = self._started + min(FIRST_LINE, self._interval)
        self._said = False

    def advance(self, count: int = 1, note: str = "") -> None:
        self._done += count
        now = self._clock()
        if now >= self._next:
            self._next = now + self._interval
            self._said = True
            self._write(self.line(now - self._started, note))

    def line(self, elapsed: float, note: str) -> str:
        """`finetune: 120/2000 (6%), 3:20 left, loss 0.12`."""
        parts = [f"{self._label}: {self._done}"]
        if self._total > 0:
            parts[0] += f"/{self._total} ({100 * self._done // self._total}%)"
        fresh, missing = self._done - self._before, self._total - self._done
        if fresh > 0 and missing > 0:
            parts.append(f"{clock_text(elapsed * missing / fresh)} left")
        return ", ".join([*parts, note] if note else parts)

    def finish(self) -> None:
        if self._said:
            self._said = False
            elapsed = clock_text(self._clock() - self._started)
            self._write(f"{self._label}: {self._done} in {elapsed}")

    def say(self, text: str) -> None:
        self._write(text)


def clock_text(seconds: float) -> str:
    """`3:20`, or `1:02:03` from an hour on."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
