"""A client that costs next to nothing: what is measured shares its processors with it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from hcompress.lab.serving.requests import Request

PATIENCE: Final = 30.0
"""Seconds after which a request without an answer counts as hung."""
_DRIP: Final = 0.5
"""Seconds between two bytes of a slow request."""
_DRIPS: Final = 64
"""Bytes that come slowly."""
HUNG: Final = 0
"""In a status's place: no answer."""
BROKEN: Final = -1
"""In a status's place: the connection broke."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Tally:
    """What came back."""

    seconds: list[float] = field(default_factory=list)
    """Of the good ones, each answer's."""
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By kind and status."""
    unexpected: Counter[tuple[str, int]] = field(default_factory=Counter)
    ended: list[tuple[float, int]] = field(default_factory=list)
    """When each answer came, and its status."""

    def add(self, request: Request, status: int, began: float) -> None:
        now = time.monotonic()
        self.statuses[request.kind, status] += 1
        self.ended.append((now, status))
        if status not in request.expected:
            self.unexpected[request.kind, status] += 1
        if status == 200 and request.kind == "good":
            self.seconds.append(now - began)

    @property
    def answered(self) -> int:
        return sum(count for (_, status), count in self.statuses.items() if status == 200)


class Pool:
    """Connections that are kept, the one that has rested longest first."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: deque[Connection] = deque()

    async def send(self, request: Request) -> int:
        """The status that answered, HUNG or BROKEN."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._send(request)
        except TimeoutError:
            return HUNG
        except (OSError, asyncio.IncompleteReadError, ValueError):
            return BROKEN

    async def _send(self, request: Request) -> int:
        reader, writer = await self._connection()
        kept = False
        try:
            sending = asyncio.create_task(_write(writer, request))
            head = await reader.readuntil(b"\r\n\r\n")
            sending.cancel()
            status, length, kept = _parse(head)
            await reader.readexactly(length)
            kept = kept and not request.slow and sending.done()
        finally:
            if kept:
                self._free.append((reader, writer))
            else:
                writer.close()
        return status

    async def _connection(self) -> Connection:
        while self._free:
            reader, writer = self._free.popleft()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()


async def _write(writer: asyncio.StreamWriter, request: Request) -> None:
    with contextlib.suppress(OSError):
        if not request.slow:
            writer.write(request.data)
            await writer.drain()
            return
        writer.write(request.data[:-_DRIPS])
        for place in range(_DRIPS):
            await asyncio.sleep(_DRIP)
            writer.write(request.data[len(request.data) - _DRIPS + place :][:1])


def _parse(head: bytes) -> tuple[int, int, bool]:
    """Status, length, and whether the connection is kept."""
    lines = head.lower().split(b"\r\n")
    fields = dict(line.split(b": ", 1) for line in lines[1:] if b": " in line)
    kept = fields.get(b"connection", b"") != b"close"
    return int(lines[0].split()[1]), int(fields[b"content-length"]), kept


async def closed_loop(
    port: int, clients: int, seconds: float, requests: Iterator[Request]
) -> Tally:
    """So many clients, each with one request at a time."""
    tally = Tally()
    ends = time.monotonic() + seconds

    async def client() -> None:
        pool = Pool(port)
        while (began := time.monotonic()) < ends:
            request = next(requests)
            tally.add(request, await pool.send(request), began)
        pool.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return tally


async def open_loop(
    port: int,
    gaps: Iterator[float],
    seconds: float,
    requests: Iterator[Request],
    now_and_then: Callable[[], None] = lambda: None,
) -> Tally:
    """Requests that come when they come, whether or not the last ones were answered."""
    tally = Tally()
    pool = Pool(port)
    tasks = set[asyncio.Task[None]]()
    start = due = time.monotonic()

    async def one(request: Request, began: float) -> None:
        tally.add(request, await pool.send(request), began)

    while due < start + seconds:
        due += next(gaps)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        task = asyncio.create_task(one(next(requests), due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        now_and_then()
    await asyncio.gather(*tasks)
    pool.close()
    return tally
