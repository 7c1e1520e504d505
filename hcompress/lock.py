"""One run at a time in a folder: an flock that says who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from hcompress.errors import EnvironmentFailed

_held: set[int] = set()


def _drop_in_child() -> None:
    """A forked worker shares the lock and could outlive us: it lets go of its copy at once."""
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_drop_in_child)


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; it is removed afterwards.

    Raises EnvironmentFailed, with process, host and time, where another process holds it.
    """
    handle = _acquire(path)
    _held.add(handle)
    try:
        yield
    finally:
        _held.discard(handle)
        path.unlink(missing_ok=True)
        os.close(handle)


def _acquire(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(handle)
            os.close(handle)
            raise EnvironmentFailed(
                f"{path.parent}: another run holds it ({holder}): wait for it or stop it"
            ) from None
        if _still_there(path, handle):
            break
        os.close(handle)  # removed by its last holder between our open and our lock
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(mine).encode(), 0)
    return handle


def _still_there(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _holder(handle: int) -> str:
    try:
        raw = json.loads(os.pread(handle, 4096, 0))
        return f"process {raw['pid']} on {raw['host']} since {raw['since']}"
    except (ValueError, TypeError, KeyError):
        return "a process that has just started"


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z")
