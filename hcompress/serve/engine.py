"""Threads that read what waits. What comes from the event loop goes back to it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from hcompress.errors import HcompressError
from hcompress.serve.batcher import Batcher, Waiting, bucket_of
from hcompress.serve.refused import Code, Refused

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LOG: Final = logging.getLogger("hcompress.serve")
_SURE: Final = 2.0
"""How often what is ahead must fit into the time that is left: paces change."""
_LATELY: Final = 0.1
"""What a batch counts in the pace, beside those before it."""
_GLANCE: Final = 1.0
"""Seconds after which an idle thread looks whether it is to end."""


class Reader(Protocol):
    """As much of a reader as is used; any number of threads may share it."""

    def read(self, images: Sequence[NDArray[np.uint8]], /) -> Sequence[Any]: ...


@dataclass(eq=False)
class Job:
    """One image on its way to its reading."""

    pixels: NDArray[np.uint8]
    done: asyncio.Future[Any]
    """A reading, or the Refused in its place."""
    beside: int = 0
    """How many were read with it."""
    started: float = 0.0


@dataclass(frozen=True)
class Watch:
    """Who is told what the engine does; the calls come from its threads."""

    batch: Callable[[int, float], None] = field(default=lambda _size, _seconds: None)
    """A batch's images and how long it took."""
    broken: Callable[[], None] = field(default=lambda: None)
    """A thread ended by an error that nobody foresaw."""


class Engine:
    """Reads batches on threads of its own, one at a time each."""

    def __init__(
        self, reader: Reader, batcher: Batcher[Job], threads: int, watch: Watch | None = None
    ) -> None:
        self._reader = reader
        self._batcher = batcher
        self._watch = watch or Watch()
        self._changed = threading.Condition()
        self._closing = False
        self._reading = 0
        self._pace = 0.0
        """Seconds an image of late."""
        self.broken = False
        self._threads = [
            threading.Thread(target=self._work, name=f"reader-{place}", daemon=True)
            for place in range(threads)
        ]

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def put(
        self, images: Sequence[NDArray[np.uint8]], arrived: float, deadline: float
    ) -> list[Job]:
        """A job for each image, on the event loop. Raises Refused (429) if there is no room."""
        jobs = [Job(image, self._loop.create_future()) for image in images]
        with self._changed:
            if self._closing or self.broken:
                raise Refused(Code.STOPPING, "the service is stopping")
            now = time.monotonic()
            self._drop_late(now)
            self._check_time(len(images), deadline - now)
            self._batcher.put(
                [Waiting(job, bucket_of(*job.pixels.shape[:2]), arrived, deadline) for job in jobs]
            )
            self._changed.notify()
        return jobs

    def _check_time(self, images: int, left: float) -> None:
        """Raises Refused (429) if they would not be read in time: who is told at once can go
        elsewhere, and what is given up halfway has cost as much as an answer. If nothing is ahead
        they are taken whatever the pace was: else it would never be another."""
        ahead = len(self._batcher) + self._reading
        if ahead and _SURE * self._pace * (ahead + images) / len(self._threads) > left:
            raise Refused(Code.BUSY, f"{ahead} images are ahead: try again")

    def waiting(self) -> int:
        """Images that nobody reads yet."""
        return len(self._batcher)

    def close(self) -> None:
        """Read what waits, then end."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        sound = False
        try:
            while batch := self._next():
                self._read(batch)
            sound = True
        finally:
            if not sound:
                self._break()

    def _next(self) -> list[Waiting[Job]]:
        """The next batch; empty if there will be none."""
        with self._changed:
            while True:
                now = time.monotonic()
                self._drop_late(now)
                if batch := self._batcher.take(now):
                    self._reading += len(batch)
                    return batch
                if (self._closing and not len(self._batcher)) or self.broken:
                    return []
                due = self._batcher.due()
                self._changed.wait(_GLANCE if due is None else max(0.0, min(_GLANCE, due - now)))

    def _drop_late(self, now: float) -> None:
        late = self._batcher.late(now)
        if late:
            refused = Refused(Code.TOO_LATE, "was not read in time")
            self._loop.call_soon_threadsafe(_deliver, late, [refused] * len(late))

    def _read(self, batch: Sequence[Waiting[Job]]) -> None:
        started = time.monotonic()
        for one in batch:
            one.item.started, one.item.beside = started, len(batch)
        delivered = False
        try:
            readings = self._readings([one.item.pixels for one in batch])
            self._loop.call_soon_threadsafe(_deliver, batch, readings)
            delivered = True
        finally:
            if not delivered:  # the thread ends, and nobody may wait for it
                failed = Refused(Code.FAILED, "the reader failed")
                self._loop.call_soon_threadsafe(_deliver, batch, [failed] * len(batch))
        seconds = time.monotonic() - started
        with self._changed:
            self._reading -= len(batch)
            pace = seconds / len(batch)
            self._pace += (_LATELY if self._pace else 1.0) * (pace - self._pace)
        self._watch.batch(len(batch), seconds)

    def _readings(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[Any]:
        """A reading or a Refused for each: one that can't be read takes no other with it."""
        try:
            return self._reader.read(images)
        except (HcompressError, ValueError, MemoryError) as error:
            if len(images) > 1:
                return [outcome for image in images for outcome in self._readings([image])]
            _LOG.warning("not read", extra={"error": str(error)})
            return [Refused(Code.FAILED, "this image could not be read: the log says why")]

    def _break(self) -> None:
        with self._changed:
            self.broken = True
            self._changed.notify_all()
        self._watch.broken()


def _deliver(batch: Sequence[Waiting[Job]], outcomes: Sequence[Any]) -> None:
    for one, outcome in zip(batch, outcomes, strict=True):
        if not one.item.done.done():
            one.item.done.set_result(outcome)
