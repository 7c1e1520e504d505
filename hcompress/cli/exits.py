"""How a command ends: one line for people, one number for scripts."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Final, TextIO

from hcompress.cli.console import OutputClosedError, complain
from hcompress.compute import ranks
from hcompress.compute.bounds import broken_off_by_signals
from hcompress.errors import EnvironmentFailed, HcompressError
from hcompress.strict.files import of_the_system

BUG: Final = 70
_PEER_GONE: Final = re.compile(
    r"gloo/|nccl|TCPStore|Socket Timeout|Connection (closed|reset|refused)|Broken pipe",
    re.IGNORECASE,
)
"""What torch says if a process under `torchrun` has gone; gloo's errors have no class."""
_OF_DISTRIBUTED: Final = "Dist"
"""What the names of those that have one begin with."""
_CPU_ALLOCATOR: Final = "DefaultCPUAllocator: "
"""What torch's plain RuntimeError has in it if memory runs out; a GPU's has a class."""


_STOPPING: Final = frozenset({signal.SIGINT, signal.SIGTERM})
_SYSTEM_SAYS: Final = tuple(
    os.strerror(number)
    for number in (
        errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO,
        errno.EROFS, errno.ESTALE, errno.EFBIG, errno.EAGAIN,
    )
)  # fmt: skip
"""What libraries put into errors of their own if the system fails them."""


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
            with contextlib.suppress(OSError, ValueError):
                traceback.print_exception(error)
        if isinstance(error, OutputClosedError):
            _drop(sys.stdout, sys.stderr)
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
    if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
        return _foreign(error.__context__, debug)  # typer takes any for that of standard output
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
    if isinstance(error, OSError):
        found = of_the_system(error)
        return found.exit_code, f"error: {found}"
    if type(error).__name__ == "OutOfMemoryError" or _CPU_ALLOCATOR in str(error):
        return EnvironmentFailed.exit_code, "error: out of memory: take a smaller batch"
    if isinstance(error, RuntimeError) and _is_of_peers(error):
        line = "error: another process of this run ended: its own line says why"
        return EnvironmentFailed.exit_code, line
    said = next((text for text in _SYSTEM_SAYS if text in str(error)), None)
    if said is not None:
        return EnvironmentFailed.exit_code, f"error: {said}: {_first_line(error)}"
    hint = "" if debug else "; --debug shows the traceback"
    return BUG, f"error: internal: {type(error).__name__}: {error}: a bug of ours{hint}"


def _is_of_peers(error: RuntimeError) -> bool:
    name = type(error).__name__
    return name.startswith(_OF_DISTRIBUTED) or _PEER_GONE.search(str(error)) is not None


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def _say(line: str) -> None:
    place = ranks.from_environment()
    prefix = f"rank {place.rank}: " if place.size > 1 else ""
    with contextlib.suppress(OutputClosedError):
        complain(prefix + " ".join(line.split()))


def let_go(code: int) -> int:
    """The exit code once what was printed is out; 4 if it can't be and the command knows nothing
    worse. The interpreter must not trip over it, and end with a number of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OutputClosedError:
            pass
        except (OSError, ValueError):
            _drop(stream)
            if stream is sys.stdout and not code:
                code = EnvironmentFailed.exit_code
    return code


def _drop(*streams: TextIO) -> None:
    """Nobody reads them any more, or there is no room."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
