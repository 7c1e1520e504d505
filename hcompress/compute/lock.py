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

from hcompress.errors import EnvironmentFailed, HcompressError, UsageError

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

    Raises EnvironmentFailed, with process, host and time, where another process holds it, and
    UsageError where a file of that name is not a lock of ours.
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
            _lock(path, handle)
            if _still_there(path, handle):
                break
        except HcompressError:
            os.close(handle)
            raise
        os.close(handle)  # removed by its last holder between our open and our lock
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(mine).encode(), 0)
    return handle


def _lock(path: Path, handle: int) -> None:
    holder = _holder(handle)
    if holder is None:
        raise UsageError(f"{path}: a file of yours has the name of our lock: rename it")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        place = path.parent if path.name == ".lock" else path.with_suffix("")
        raise EnvironmentFailed(
            f"{place}: another run holds it ({holder}): wait for it or stop it"
        ) from None


def _still_there(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _holder(handle: int) -> str | None:
    """Who wrote the lock file; None where it is no lock file."""
    text = os.pread(handle, 4096, 0)
    if not text:
        return "a process that has just started"
    try:
        raw = json.loads(text)
        return f"process {raw['pid']} on {raw['host']} since {raw['since']}"
    except (ValueError, TypeError, KeyError):
        return None


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z")
