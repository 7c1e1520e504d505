"""One worker: uvicorn around the application, with a stop that turns nobody away halfway."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import time
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

import uvicorn

from hcompress import __version__
from hcompress.serve.app import Service, build_app
from hcompress.serve.batcher import Batcher
from hcompress.serve.engine import Engine, Reader, Watch
from hcompress.serve.limits import Settings
from hcompress.serve.metrics import Metrics
from hcompress.serve.shares import Shares

_LOG: Final = logging.getLogger("hcompress.serve")
_KEEP_ALIVE: Final = 5
"""Seconds for which a connection may stay without a request."""
_AFTER: Final = 0.002
"""Seconds for which a connection is left to another worker."""
_CONNECTIONS: Final = 1024
"""Of a worker; each takes a file number."""


@dataclass(frozen=True)
class Place:
    """Where a worker stands among the others."""

    listener: socket.socket
    """The socket that all of them listen on."""
    number: int
    shares: Shares


class Server(uvicorn.Server):
    """Stops in two steps: first it says that it will (`/readyz`, `Connection: close`), for `drain`
    seconds; then it takes no more, and answers what it took. Hangs up on who says nothing."""

    def __init__(self, config: uvicorn.Config, place: Place, drain: float, patience: float) -> None:
        super().__init__(config)
        self._place = place
        self._arriving: set[asyncio.Task[Any]] = set()
        self._drain = drain
        self._patience = patience
        self._asked: float | None = None
        self._parent = os.getppid()
        self._silent: dict[Any, tuple[Any, float]] = {}

    @property
    def stopping(self) -> bool:
        return self._asked is not None

    def stop(self) -> None:
        if self._asked is None:
            self._asked = time.monotonic()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.stopping and sig == signal.SIGINT:
            super().handle_exit(sig, frame)
        self.stop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets or [])  # none: it would take whatever connections there are
        self._place.listener.setblocking(False)
        self._listen()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().remove_reader(self._place.listener)
        self._place.listener.close()
        await super().shutdown(sockets=sockets)

    def _listen(self) -> None:
        if self._place.listener.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._place.listener, self._accept)

    def _accept(self) -> None:
        """One connection, unless it is another worker's to take."""
        loop = asyncio.get_running_loop()
        if not self._place.shares.takes(self._place.number, self._connections()):
            loop.remove_reader(self._place.listener)
            loop.call_later(_AFTER, self._listen)
            return
        try:
            own, _ = self._place.listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another was faster, or the client has gone
        except OSError as error:  # no more file numbers
            _LOG.error("no connection taken", extra={"error": str(error)})
            loop.remove_reader(self._place.listener)
            loop.call_later(_KEEP_ALIVE, self._listen)
            return
        own.setblocking(False)
        task = loop.create_task(loop.connect_accepted_socket(self._protocol, own))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    def _connections(self) -> int:
        return len(self.server_state.connections) + len(self._arriving)

    def _protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    async def on_tick(self, counter: int) -> bool:
        if os.getppid() != self._parent:  # whoever would start us again is gone
            self.stop()
        now = time.monotonic()
        if self._asked is not None and now >= self._asked + self._drain:
            self.should_exit = True
        self._hang_up(now)
        self._place.shares.say(self._place.number, self._connections())
        return await super().on_tick(counter)

    def _hang_up(self, now: float) -> None:
        """On connections that were opened, or kept, and have sent no whole head of a request for as
        long as a request may take. uvicorn waits for these for ever."""
        before, self._silent = self._silent, {}
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                continue
            last, since = before.get(connection, (cycle, now))
            if last is not cycle:
                since = now
            self._silent[connection] = (cycle, since)
            if now - since > self._patience and connection.transport is not None:
                connection.transport.abort()


def work(reader: Reader, place: Place, settings: Settings) -> int:
    """Serve on the socket of all workers until a signal says to stop; the exit code."""
    metrics = Metrics(settings.model, settings.digest, __version__)

    def batch(images: int, seconds: float) -> None:
        metrics.batch.observe(images)
        metrics.batch_seconds.observe(seconds)

    def broken() -> None:
        server.stop()

    limits = settings.limits
    batcher: Any = Batcher(limits.queue, limits.batch, settings.wait)
    engine = Engine(reader, batcher, settings.threads, Watch(batch, broken))
    service = Service(engine, limits, metrics, settings.model, lambda: server.stopping)
    config = uvicorn.Config(
        build_app(service),
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=int(limits.seconds) + 1,
    )
    server = Server(config, place, settings.drain, limits.seconds)
    gc.freeze()  # what was there before the fork is shared until somebody writes to it
    server.run()
    return 1 if engine.broken else 0
