"""The load script: its requests and its client, against a server that answers by itself."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable

from hcompress.lab.serving.client import BROKEN, Tally, closed_loop, open_loop
from hcompress.lab.serving.measure import goods, pictures
from hcompress.lab.serving.requests import mixed

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


async def served(answer: Answer, load: Callable[[int], Awaitable[Tally]]) -> Tally:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                await answer(await reader.readexactly(length), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        return await load(server.sockets[0].getsockname()[1])


async def well(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


async def not_at_all(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


def test_answers_are_counted_and_timed() -> None:
    lines = pictures()[:2]
    tally = asyncio.run(served(well, lambda port: closed_loop(port, 3, 0.2, goods(lines))))
    assert tally.answered == len(tally.seconds) > 3
    assert not tally.unexpected


def test_a_connection_that_breaks_is_an_answer_nobody_expects() -> None:
    lines = pictures()[:2]
    gaps = itertools.repeat(0.02)
    tally = asyncio.run(served(not_at_all, lambda port: open_loop(port, gaps, 0.1, goods(lines))))
    assert set(tally.unexpected) == {("good", BROKEN)}


def test_mixed_requests_are_of_every_kind_and_the_same_each_time() -> None:
    lines = pictures()[:4]
    first, again = (
        [mixed(rng, lines) for _ in range(300)] for rng in (random.Random(3), random.Random(3))
    )
    assert first == again
    assert {request.kind for request in first} == {"good", "many", "broken", "huge", "slow"}
    assert all(request.expected for request in first)
