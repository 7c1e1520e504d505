"""One run at a time in a folder: an flock that says who holds it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hcompress.errors import EnvironmentFailed, HcompressError, InputRefused, UsageError
from hcompress.strict.files import shown
from hcompress.strict.json import strict_json
from hcompress.strict.read import read

MOST: Final = 4096
"""Bytes a lock of ours may have."""
_SAFELY: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_held: set[int] = set()


@dataclass(frozen=True)
class _Holder:
    """What is in a lock file."""

    pid: int
    host: str
    since: str


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

    Raises EnvironmentFailed, with process, host and time, where another process holds it, or where
    nothing can be locked; UsageError where something of that name is not a lock of ours. Nothing
    that is a link is followed, or written to under a second name.
    """
    handle = _acquire(path)
    _held.add(handle)
    try:
        yield
    finally:
        _held.discard(handle)
        if _still_there(path, handle):  # whoever removed ours has no claim to the next one's
            path.unlink(missing_ok=True)
        os.close(handle)


def holds(path: Path) -> bool:
    """Whether this process holds the lock ``path``."""
    return any(_still_there(path, handle) for handle in _held)


def check_not_held(path: Path) -> None:
    """Raises EnvironmentFailed where another process holds the lock ``path``; changes nothing.

    Of a file that is no lock of ours nothing is said.
    """
    try:
        handle = os.open(path, os.O_RDONLY | _SAFELY)
    except OSError:
        return
    try:
        if stat.S_ISREG(os.fstat(handle).st_mode) and _holder(handle) is not None:
            _lock(path, handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def _acquire(path: Path) -> int:
    while True:
        handle = _opened(path)
        try:
            _check_ours(path, handle)
            _lock(path, handle, fcntl.LOCK_EX)
            if _still_there(path, handle):
                _check_ours(path, handle)  # written to in between
                break
        except HcompressError:
            os.close(handle)
            raise
        os.close(handle)  # removed by its last holder between our open and our lock
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "since": _now()}
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(mine).encode(), 0)
    except OSError as error:
        os.close(handle)
        error.filename = str(path)
        raise
    return handle


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | _SAFELY, 0o644)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):  # a link, a folder, a socket
            raise _not_ours(path) from None
        raise


def _check_ours(path: Path, handle: int) -> None:
    """Raises UsageError unless it is a plain file of one name that holds what we write, or nothing.

    A second name would be a file of the user's that we write to under the first.
    """
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1 or _holder(handle) is None:
        raise _not_ours(path)


def _not_ours(path: Path) -> UsageError:
    return UsageError(f"{shown(path)}: a file of yours has the name of our lock: rename it")


def _lock(path: Path, handle: int, how: int) -> None:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        place = path.parent if path.name == ".lock" else path.with_suffix("")
        holder = _holder(handle) or "a process that has just started"
        raise EnvironmentFailed(
            f"{shown(place)}: another run holds it ({holder}): wait for it or stop it"
        ) from None
    except OSError as error:
        what = (error.strerror or type(error).__name__).lower()
        raise EnvironmentFailed(
            f"{shown(path)}: can't be locked: {what}: choose an --out on a disk that has locks"
        ) from None


def _still_there(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except OSError:
        return False


def _holder(handle: int) -> str | None:
    """Who wrote the lock file; None where it is no lock file."""
    text = os.pread(handle, MOST + 1, 0)
    if not text:
        return "a process that has just started"
    if len(text) > MOST:
        return None
    try:
        raw = read(_Holder, strict_json(text, ""), "")
    except InputRefused:
        return None
    return f"process {raw.pid} on {shown(raw.host)} since {shown(raw.since)}"


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z")
