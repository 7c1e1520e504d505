"""Talk on stderr, data on stdout, and the one place that uses rich. No arithmetic."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TextIO

from hcompress.cli.tables import pair_lines, table_lines
from hcompress.progress import LineProgress, NoProgress, Progress
from hcompress.strict.json import json_text
from hcompress.strict.show import visible

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.progress import Progress as RichProgress


PLAIN_WIDTH = 80
"""Columns off a terminal: what CI logs and pagers show."""
LAST_STANDARD = 2
"""stderr's number: 0 and 1 are stdin's and stdout's."""


class OutputClosedError(Exception):
    """Whoever read our output has gone: `| head` has seen enough."""


class ClosedOutput(io.StringIO):
    """Stands in for stdout if it was closed before we started (`>&-`)."""

    def write(self, _text: str, /) -> int:
        raise OutputClosedError


def take_closed_streams() -> None:
    """Take the numbers of the standard streams that are closed.

    The next file opened would get them, and be written to by whatever library prints. Output
    that nobody can read ends the command as a closed pipe does; talk is dropped.
    """
    while (taken := os.open(os.devnull, os.O_RDWR)) <= LAST_STANDARD:
        pass
    os.close(taken)
    if sys.stdout is None:
        sys.stdout = ClosedOutput()
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


class Console:
    """Where a command says what it does (stderr) and puts what it found (stdout)."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet

    def say(self, text: str) -> None:
        """A line of talk; silent on all processes but the first."""
        if not self._quiet:
            complain(text)

    def out(self, text: str) -> None:
        """A line of data."""
        if not self._quiet:
            _write(sys.stdout, visible(text))

    def lines(self, text: str) -> None:
        """Lines of data that are ours."""
        for line in text.split("\n"):
            self.out(line)

    def json(self, value: Any, indent: int | None = 2) -> None:
        """``value`` on stdout; one line if ``indent`` is None."""
        if not self._quiet:
            _write(sys.stdout, json_text(value, indent, not _speaks_unicode(sys.stdout)))

    def table(self, rows: Sequence[Sequence[str]], talk: bool = False, names: int = 1) -> None:
        """Rows of text, header first, in as many parts as the width asks for.

        Every part begins with the first ``names`` columns.
        """
        if self._quiet:
            return
        stream = sys.stderr if talk else sys.stdout
        if not _speaks_unicode(stream):
            rows = [[_ascii(cell) for cell in row] for row in rows]
        for line in table_lines(rows, _width(stream), names):
            _write(stream, line)

    def pairs(self, rows: Sequence[Sequence[str]]) -> None:
        """Names with their values, a line each."""
        if not self._quiet:
            for line in pair_lines(rows):
                _write(sys.stdout, line)

    def progress(self) -> Progress:
        """A bar on a terminal, lines off it; all processes but the first say nothing."""
        if self._quiet:
            return NoProgress()
        if _is_terminal(sys.stderr):
            return BarProgress(self.say)
        return LineProgress(self.say)


def complain(text: str) -> None:
    """A line on stderr, whatever process this is."""
    _write(sys.stderr, visible(text))


class BarProgress:
    """A bar with the time left, redrawn as the work advances: no thread of its own."""

    def __init__(self, say: Any) -> None:
        self._say = say
        self._bar: RichProgress | None = None
        self._limiter = LineProgress(self._draw, interval=0.1)
        self._note = ""

    def start(self, label: str, total: int, done: int = 0) -> None:
        self.finish()
        self._bar = _rich_progress()
        self._bar.add_task(visible(label), total=total, completed=done, note="")
        self._limiter.start(label, total, done)
        self._bar.start()

    def advance(self, count: int = 1, note: str = "") -> None:
        if self._bar is None:
            return
        self._note = note or self._note
        self._bar.update(self._bar.task_ids[0], advance=count, note=visible(self._note))
        self._limiter.advance(count)

    def _draw(self, _line: str) -> None:
        if self._bar is not None:
            self._bar.refresh()

    def finish(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._note = ""

    def say(self, text: str) -> None:
        if self._bar is None:
            self._say(text)
        else:
            self._bar.console.print(visible(text), markup=False, highlight=False)


def _rich_progress() -> RichProgress:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=_rich_console(),
        auto_refresh=False,
        transient=True,
    )


def _rich_console() -> RichConsole:
    from rich.console import Console as RichConsole

    return RichConsole(file=sys.stderr)  # honours NO_COLOR by itself


def _write(stream: TextIO, line: str) -> None:
    try:
        stream.write(line + "\n")
        stream.flush()
    except OSError as error:
        if error.errno in (errno.EPIPE, errno.EBADF):  # EBADF: open, but not for writing
            raise OutputClosedError from None
        if stream is sys.stderr:  # talk for which there is no room changes nothing
            return
        error.filename = "standard output"
        raise


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _width(stream: TextIO) -> int:
    if "COLUMNS" in os.environ or _is_terminal(stream):
        return shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns
    return PLAIN_WIDTH


def _speaks_unicode(stream: TextIO) -> bool:
    return (getattr(stream, "encoding", None) or "ascii").lower().replace("-", "") == "utf8"


_ASCII = str.maketrans({"✓": "x", "–": "-", "−": "-", "→": ">", "…": "."})


def _ascii(cell: str) -> str:
    return cell.translate(_ASCII)
