"""How a command ends: one line for people, one number for scripts."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Final

from hcompress.cli.console import OutputClosedError, complain
from hcompress.compute import ranks
from hcompress.compute.bounds import broken_off_by_signals
from hcompress.errors import EnvironmentFailed, HcompressError, UsageError

BUG: Final = 70
_ENVIRONMENT: Final = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE,
        errno.ENOMEM, errno.EIO,
    }
)  # fmt: skip
_USAGE: Final = frozenset(
    {errno.ENAMETOOLONG, errno.ELOOP, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOENT}
)
"""A path that can't be, or that something else has taken."""
_PEER_GONE: Final = "Connection closed by peer"
"""What gloo says if a process under `torchrun` has gone; its errors have no class."""
_CPU_ALLOCATOR: Final = "DefaultCPUAllocator: "
"""What torch's plain RuntimeError has in it if memory runs out; a GPU's has a class."""


_STOPPING: Final = frozenset({signal.SIGINT, signal.SIGTERM})


class Stopped(BaseException):
    """A signal asked us to stop. Not an Exception: nothing may take it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """SIGINT and SIGTERM raise Stopped while the block runs, in this process alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner = os.getpid()

    def stop(number: int, _frame: FrameType | None) -> None:
        if os.getpid() == owner:
            raise Stopped(number)
        # A forked worker ends as it would without us: quietly.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        with broken_off_by_signals(_STOPPING):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Guard:
    """Turns whatever a command raises into its exit code and one line on stderr."""

    def __init__(self, debug: bool, command: str) -> None:
        self.code = 0
        self._debug = debug
        self._command = command

    def __enter__(self) -> Guard:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> bool:
        if error is None:
            ranks.disconnect()
            return False
        self.code, line = verdict(error, self._debug, self._command)
        if self._debug:
            traceback.print_exception(error)
        if isinstance(error, OutputClosedError):
            _drop_stdout()
        elif line:
            _say(line)
        return True


def verdict(
    error: BaseException, debug: bool = False, command: str = "hcompress"
) -> tuple[int, str]:
    """The exit code of an exception, and its line. ``command`` is what lacks a missing library."""
    if isinstance(error, ImportError):
        error = _not_imported(error, command)
    if isinstance(error, HcompressError) and error.exit_code != BUG:
        return error.exit_code, f"error: {error}"
    if isinstance(error, Stopped):
        name = signal.Signals(error.number).name
        return 128 + error.number, f"stopped by {name}: the same command goes on from here"
    if isinstance(error, OutputClosedError):
        return 128 + signal.SIGPIPE, ""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0, ""
    return _foreign(error, debug)


def _not_imported(error: ImportError, command: str) -> Exception:
    """The same as the machine's fault, with the extra to install; a module of ours is our bug."""
    from hcompress.compute.libraries import distribution_of, lacks

    module = error.name or "hcompress"
    if module.partition(".")[0] == "hcompress":
        return error
    name = distribution_of(module)
    if not isinstance(error, ModuleNotFoundError):
        return EnvironmentFailed(f"{command} needs {name or module}, which is broken: {error}")
    if name is not None:
        return lacks(command, [name])
    return EnvironmentFailed(f"the Python package {module} is missing: pip install it")


def _foreign(error: BaseException, debug: bool) -> tuple[int, str]:
    """What other libraries raise: usage from typer, trouble from the machine, or our bug."""
    import typer

    if isinstance(error, typer.TyperException):
        message = error.format_message().rstrip(".")
        return error.exit_code, f"error: {message}: see --help" if message else ""
    if isinstance(error, MemoryError):
        return EnvironmentFailed.exit_code, "error: out of memory"
    if isinstance(error, OSError) and error.errno in _ENVIRONMENT:
        where = f"{error.filename}: " if error.filename else ""
        return EnvironmentFailed.exit_code, f"error: {where}{error.strerror}"
    if isinstance(error, OSError) and error.errno in _USAGE and error.filename:
        what = error.strerror or type(error).__name__
        return UsageError.exit_code, f"error: {error.filename}: {what.lower()}"
    if type(error).__name__ == "OutOfMemoryError" or _CPU_ALLOCATOR in str(error):
        return EnvironmentFailed.exit_code, "error: out of memory: take a smaller batch"
    if isinstance(error, RuntimeError) and _PEER_GONE in str(error):
        line = "error: another process of this run ended: its own line says why"
        return EnvironmentFailed.exit_code, line
    hint = "" if debug else "; --debug shows the traceback"
    return BUG, f"error: internal: {type(error).__name__}: {error}: a bug of ours{hint}"


def _say(line: str) -> None:
    place = ranks.from_environment()
    prefix = f"rank {place.rank}: " if place.size > 1 else ""
    with contextlib.suppress(OutputClosedError):
        complain(prefix + " ".join(line.split()))


def _drop_stdout() -> None:
    """Nobody reads it any more; the interpreter must not trip over it when it flushes."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
