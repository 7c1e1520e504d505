"""How many connections each worker has, in memory that all of them see: who takes the next one."""

from __future__ import annotations

import mmap
from typing import Final

_BYTES: Final = 4
_MOST_PUT_OFF: Final = 5
"""Times in a row that a worker leaves a connection to another, which may be busy, or dead."""


class Shares:
    """A number a worker: 0 if it is not there, else one more than its connections.

    Made before the workers are forked. Of one socket the worker that is awake would take all
    connections, and with a socket each they are shared out by chance: eight may fall six to two.
    """

    def __init__(self, workers: int) -> None:
        self._counts = memoryview(mmap.mmap(-1, _BYTES * workers)).cast("I")
        self._put_off = 0

    def say(self, worker: int, connections: int) -> None:
        self._counts[worker] = connections + 1

    def gone(self, worker: int) -> None:
        self._counts[worker] = 0

    def takes(self, worker: int, connections: int) -> bool:
        """Whether a connection that waits is this worker's: nobody has fewer."""
        self.say(worker, connections)
        others = [count for count in self._counts if count]
        if connections + 1 <= min(others) or self._put_off >= _MOST_PUT_OFF:
            self._put_off = 0
            return True
        self._put_off += 1
        return False
