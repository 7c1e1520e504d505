"""A request's body off the wire: no more of it, and no longer, than is allowed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from hcompress.serve.limits import MIB, Held
from hcompress.serve.refused import Code, Refused

if TYPE_CHECKING:
    from starlette.requests import Request

_LINGER: Final = 2.0
"""Seconds for which a body that was refused is read on: whoever still sends would see the
connection break, and no answer."""
_LINGER_BYTES: Final = 64 * MIB


async def read_body(request: Request, most: int, deadline: float, held: Held) -> bytes:
    """The whole body; what it takes is counted by ``held``, for the caller to give back.

    Raises Refused: 408 if it is not there by the deadline, 413 if it is larger than ``most``,
    429 if there is no room.
    """
    data = bytearray()
    complete = False
    try:
        async with asyncio.timeout_at(_on_the_loop(deadline)):
            await _fill(data, request, most, held)
        complete = True
    except TimeoutError:
        raise Refused(Code.SLOW_BODY, "the body was not here in time") from None
    except Refused:
        if request.headers.get("expect", "").lower() != "100-continue":
            await linger(request)
        raise
    finally:
        if not complete:
            held.give(len(data))
    return bytes(data)


async def _fill(data: bytearray, request: Request, most: int, held: Held) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > most:
        raise _too_large(most)
    async for chunk in request.stream():
        if len(data) + len(chunk) > most:
            raise _too_large(most)
        held.take(len(chunk))
        data += chunk


async def linger(request: Request) -> None:
    """Read what still comes of a refused body, for a while, and drop it."""
    from starlette.requests import ClientDisconnect

    left = _LINGER_BYTES
    with contextlib.suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(_LINGER):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return


def _too_large(most: int) -> Refused:
    return Refused(Code.BODY_TOO_LARGE, f"the body is larger than {most / MIB:g} MiB")


def _on_the_loop(deadline: float) -> float:
    return asyncio.get_running_loop().time() + max(0.0, deadline - time.monotonic())
