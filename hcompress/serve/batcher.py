"""Which of the images that wait are read together, and when. No clock, no thread, no model."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from hcompress.serve.refused import Code, Refused

T = TypeVar("T")

NARROWEST: Final = 4
"""Times its height that an image of the first bucket is wide at most; it is doubled from there on,
so that a word doesn't wait for a page's width beside it."""
MOST_WIDE: Final = 128
"""How often an image of the narrowest bucket fits into those of a batch: they take its time and
memory."""


@dataclass(frozen=True)
class Waiting(Generic[T]):
    """Something to be read."""

    item: T
    bucket: int
    """How wide it is: only one bucket's run together."""
    arrived: float
    deadline: float
    """Whoever asked has gone then."""

    @property
    def wide(self) -> int:
        """How often the narrowest bucket's fits into it."""
        return 1 << self.bucket


def bucket_of(height: int, width: int) -> int:
    """0 up to `NARROWEST` times as wide as high, then one more for each doubling."""
    return max(0, (-(-width // (NARROWEST * max(1, height))) - 1).bit_length())


class Batcher(Generic[T]):
    """First come, first read, in batches of about one width.

    A batch is ready if it is full or its first has waited for ``wait`` seconds. With ``wait`` 0
    whoever is free takes what there is, and batches grow by themselves as load does. Times are
    the caller's, of any one clock. Not for several threads at once.
    """

    def __init__(self, queue: int, batch: int, wait: float = 0.0) -> None:
        self._queue = queue
        self._batch = batch
        self._wait = wait
        self._buckets: dict[int, deque[Waiting[T]]] = {}
        self._size = 0

    def __len__(self) -> int:
        """How many wait."""
        return self._size

    def put(self, items: Sequence[Waiting[T]]) -> None:
        """All of them, or none: raises Refused (429) if there is no room."""
        if self._size + len(items) > self._queue:
            raise Refused(Code.BUSY, f"{self._size} images wait already: try again")
        for item in items:
            self._buckets.setdefault(item.bucket, deque()).append(item)
        self._size += len(items)

    def late(self, now: float) -> list[Waiting[T]]:
        """Those whose deadline has passed, which no longer wait."""
        gone: list[Waiting[T]] = []
        for bucket, line in list(self._buckets.items()):
            if any(one.deadline <= now for one in line):
                gone += (one for one in line if one.deadline <= now)
                self._keep(bucket, deque(one for one in line if one.deadline > now))
        self._size -= len(gone)
        return gone

    def take(self, now: float) -> list[Waiting[T]]:
        """The batch that is ready and whose first has waited longest; none if none is ready."""
        ready = [line for line in self._buckets.values() if self._is_ready(line, now)]
        if not ready:
            return []
        line = min(ready, key=_first_arrived)
        bucket = line[0].bucket
        batch = [line.popleft() for _ in range(min(self._most(line), len(line)))]
        self._keep(bucket, line)
        self._size -= len(batch)
        return batch

    def due(self) -> float | None:
        """When a batch will be ready if nothing more comes; None if nothing waits."""
        first = [_first_arrived(line) for line in self._buckets.values()]
        return min(first) + self._wait if first else None

    def _is_ready(self, line: deque[Waiting[T]], now: float) -> bool:
        return len(line) >= self._most(line) or now >= line[0].arrived + self._wait

    def _most(self, line: deque[Waiting[T]]) -> int:
        return max(1, min(self._batch, MOST_WIDE // line[0].wide))

    def _keep(self, bucket: int, line: deque[Waiting[T]]) -> None:
        """Empty buckets are let go: there may be many widths."""
        if line:
            self._buckets[bucket] = line
        else:
            del self._buckets[bucket]


def _first_arrived(line: deque[Waiting[T]]) -> float:
    return line[0].arrived
