"""What a service takes, and what it holds at most. Plain data, and two counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hcompress.serve.refused import Code, Refused

MIB: Final = 1 << 20
MEGA: Final = 10**6


@dataclass(frozen=True)
class Limits:
    """What one request may be, and what all that are being answered may take together."""

    body: int = 16 * MIB
    """Bytes of a request's body."""
    images: int = 64
    """Images in a request."""
    pixels: int = 4 * MEGA
    """Pixels of an image."""
    seconds: float = 10.0
    """From a request's first byte to its answer."""
    queue: int = 256
    """Images of a worker that wait to be read."""
    requests: int = 128
    """Requests that a worker is answering at a time."""
    batch: int = 16
    """Images read together."""

    @property
    def held_bytes(self) -> int:
        """Bodies of all requests that a worker is answering."""
        return max(128 * MIB, 2 * self.body)

    @property
    def held_pixels(self) -> int:
        """Pixels of all images that wait or are read, three bytes each; of one request, half."""
        return max(64 * MEGA, 4 * self.pixels)


@dataclass(frozen=True)
class Settings:
    """What a worker is told beside its model."""

    limits: Limits = Limits()
    threads: int = 1
    """That read, each a batch at a time."""
    wait: float = 0.0
    """Seconds that the first image of a batch waits for others."""
    drain: float = 0.0
    """Seconds for which a service that was asked to stop says so, and still takes requests."""
    model: str = ""
    """The file's name, as answers say it."""
    digest: str = ""


class Held:
    """Counts what requests hold of something of which there is so much and no more."""

    def __init__(self, most: int, of_what: str) -> None:
        self.taken = 0
        self._most = most
        self._of_what = of_what

    def take(self, amount: int) -> None:
        """Raises Refused (429) if there is no room for so much; nothing is taken then."""
        if self.taken + amount > self._most:
            raise Refused(Code.BUSY, f"too many {self._of_what} are being read: try again")
        self.taken += amount

    def give(self, amount: int) -> None:
        self.taken -= amount
