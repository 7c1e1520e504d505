"""The service as an ASGI application. Starlette, for a body must be weighed before it is parsed:
FastAPI reads it whole, and what it generates for OpenAPI is one document that stands beside this.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from hcompress.runtime.look import with_remarks
from hcompress.serve.answers import told
from hcompress.serve.body import linger, read_body
from hcompress.serve.engine import Engine, Job
from hcompress.serve.limits import Held, Limits
from hcompress.serve.metrics import TYPE, Metrics
from hcompress.serve.openapi import openapi
from hcompress.serve.order import FORM, Body, Order, Picture, order_of
from hcompress.serve.page import page
from hcompress.serve.refused import RETRY_AFTER, STATUS, Code, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOG: Final = logging.getLogger("hcompress.serve")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_CLOSES: Final = frozenset({Code.SLOW_BODY, Code.BODY_TOO_LARGE, Code.STOPPING, Code.BUSY})
"""Refusals after which a body may still be on its way."""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""The page runs nothing and fetches nothing."""


@dataclass
class Service:
    """What the handlers of one worker share."""

    engine: Engine
    limits: Limits
    metrics: Metrics
    model: str
    """The file's name, as answers and the page say it."""
    stopping: Callable[[], bool] = lambda: False
    """Whether whoever balances load should send nothing more."""

    def __post_init__(self) -> None:
        self.bytes = Held(self.limits.held_bytes, "bytes of images")
        self.pixels = Held(self.limits.held_pixels, "pixels of images")
        self.in_flight = Held(self.limits.requests, "requests")
        self._names = map(
            "{}-{:x}".format, itertools.repeat(secrets.token_hex(4)), itertools.count()
        )
        # One: Pillow's warnings are silenced for a whole process, and a bomb can wait for another.
        self.parser = ThreadPoolExecutor(1, "parser")

    def name(self, asked: str) -> str:
        """Of a request: what the client calls it, or one of our own."""
        return asked if _REQUEST_ID.fullmatch(asked) else next(self._names)


def build_app(service: Service) -> Starlette:
    """Starts the engine with the application, and ends it when no request is being answered."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.engine.start()
        yield
        await asyncio.to_thread(service.engine.close)
        service.parser.shutdown()

    def with_service(
        handler: Callable[[Service, Request], Awaitable[Response]],
    ) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return await handler(service, request)

        return handle

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/read", with_service(read), methods=["POST"]),
            Route("/healthz", with_service(_health)),
            Route("/readyz", with_service(_ready)),
            Route("/metrics", with_service(_metrics)),
            Route("/openapi.json", with_service(_openapi)),
            Route("/docs", with_service(_docs)),
            Route("/", with_service(_home)),
        ],
    )


async def read(service: Service, request: Request) -> Response:
    """`POST /read`, with its metrics, its log line and its id."""
    arrived = time.monotonic()
    name = service.name(request.headers.get("x-request-id", ""))
    said: dict[str, Any] = {"request": name}
    refused: Refused | None = None
    service.metrics.in_flight.inc()
    try:
        response: Response = await _answer(service, request, arrived, said)
    except ClientDisconnect:
        refused = Refused(Code.BAD_BODY, "the client went before its body was here")
        response = _error(refused, name)
    except Refused as error:
        refused = error
        response = _error(refused, name)
    finally:
        service.metrics.in_flight.dec()
    code = "ok" if refused is None else str(refused.code)
    seconds = time.monotonic() - arrived
    service.metrics.requests.labels(str(response.status_code), code).inc()
    if refused is None:
        service.metrics.seconds.observe(seconds)
    else:
        said["error"] = str(refused)
    response.headers["x-request-id"] = name
    if service.stopping():
        response.headers["connection"] = "close"
    _LOG.log(
        logging.WARNING if response.status_code >= STATUS[Code.FAILED] else logging.INFO,
        "read",
        extra={
            **said,
            "status": response.status_code,
            "code": code,
            "ms": round(seconds * 1000, 1),
        },
    )
    return response


async def _answer(
    service: Service, request: Request, arrived: float, said: dict[str, Any]
) -> Response:
    deadline = arrived + service.limits.seconds
    try:
        service.in_flight.take(1)
    except Refused:
        await linger(request)
        raise
    try:
        order = await _order(service, request, deadline, said)
        area = sum(one.area for one in order.pictures if isinstance(one, Picture))
        service.pixels.take(area)
        try:
            outcomes = await _outcomes(service, order, deadline, said)
        finally:
            service.pixels.give(area)
    finally:
        service.in_flight.give(1)
    return JSONResponse({"model": service.model, "readings": outcomes})


async def _order(
    service: Service, request: Request, deadline: float, said: dict[str, Any]
) -> Order:
    """What the request asks for, its images as pixels."""
    data = await read_body(request, service.limits.body, deadline, service.bytes)
    said["bytes"] = len(data)
    try:
        kind, boundary = content_type(request.headers.get("content-type", ""))
        body = Body(data, kind, boundary, dict(request.query_params))
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(deadline - time.monotonic()):
            return await loop.run_in_executor(service.parser, order_of, body, service.limits)
    except TimeoutError:
        raise Refused(Code.TOO_LATE, "the images were not opened in time") from None
    finally:
        service.bytes.give(len(data))


def content_type(header: str) -> tuple[str, bytes]:
    """The kind, in small letters, and a form's boundary."""
    kind = header.partition(";")[0].strip().lower()
    if kind != FORM:
        return kind, b""
    from python_multipart.multipart import parse_options_header

    return kind, parse_options_header(header)[1].get(b"boundary", b"")


async def _outcomes(
    service: Service, order: Order, deadline: float, said: dict[str, Any]
) -> list[dict[str, Any]]:
    """An answer an image, in order; an image that is none has an error in its answer's place.

    Raises Refused if none could be read, or not in time.
    """
    pictures = [one for one in order.pictures if isinstance(one, Picture)]
    put = time.monotonic()
    jobs = service.engine.put([one.pixels for one in pictures], put, deadline)
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            found = await asyncio.gather(*(job.done for job in jobs))
    except TimeoutError:
        raise Refused(Code.TOO_LATE, "the images were not read in time") from None
    _observe(service, jobs, put, said)
    answers = iter(zip(found, pictures, strict=True))
    outcomes: list[Any] = [
        one if isinstance(one, Refused) else _remarked(*next(answers)) for one in order.pictures
    ]
    refused = [one for one in outcomes if isinstance(one, Refused)]
    late = next((one for one in refused if one.code is Code.TOO_LATE), None)
    service.metrics.images.labels("refused").inc(len(refused))
    service.metrics.images.labels("read").inc(len(outcomes) - len(refused))
    if late is not None or len(refused) == len(outcomes):
        raise late or refused[0]
    said |= {"images": len(outcomes), "refused": len(refused)}
    return [
        {"error": one.as_json()} if isinstance(one, Refused) else told(one, order.asked)
        for one in outcomes
    ]


def _remarked(reading: Any, picture: Picture) -> Any:
    """The reading with what is to be said of its file."""
    return reading if isinstance(reading, Refused) else with_remarks(reading, picture.remarks)


def _observe(service: Service, jobs: Sequence[Job], put: float, said: dict[str, Any]) -> None:
    for job in jobs:
        if job.started:
            service.metrics.queued.observe(job.started - put)
    said["queue_ms"] = round(1000 * max((job.started - put for job in jobs), default=0), 1)
    said["batch"] = max((job.beside for job in jobs), default=0)


def _error(refused: Refused, request: str) -> Response:
    headers = {}
    if refused.code is Code.BUSY:
        headers["retry-after"] = str(RETRY_AFTER)
    if refused.code in _CLOSES:
        headers["connection"] = "close"
    return JSONResponse(
        {"error": {**refused.as_json(), "request": request}}, refused.status, headers
    )


async def _health(service: Service, _: Request) -> Response:
    """Whether this worker is to be left alone: 503 if it must be started again."""
    good = not service.engine.broken
    return JSONResponse({"status": "ok" if good else "broken"}, 200 if good else 503)


async def _ready(service: Service, _: Request) -> Response:
    """Whether requests may be sent."""
    good = not (service.engine.broken or service.stopping())
    state = {"status": "ready" if good else "stopping", "model": service.model}
    return JSONResponse(state, 200 if good else 503)


async def _metrics(service: Service, _: Request) -> Response:
    service.metrics.waiting.set(service.engine.waiting())
    return Response(service.metrics.page(), media_type=TYPE)


async def _openapi(service: Service, _: Request) -> Response:
    return JSONResponse(openapi(service.limits, service.model))


async def _docs(service: Service, request: Request) -> Response:
    document = openapi(service.limits, service.model)
    return HTMLResponse(
        page(document, str(request.base_url)), headers={"content-security-policy": _POLICY}
    )


async def _home(_: Service, __: Request) -> Response:
    return RedirectResponse("docs")
