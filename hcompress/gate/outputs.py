"""Where a verdict goes beside the terminal: a job's summary, files for bots, annotations.

Written at the beginning too, as of a gate that has not finished: what lies there from an earlier
build, or after a kill, must not pass for today's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hcompress.errors import EnvironmentFailed
from hcompress.gate.show import (
    annotated,
    annotation_of_error,
    junit,
    junit_of_error,
    markdown,
    markdown_of_error,
)
from hcompress.gate.verdict import Verdict
from hcompress.strict.atomic import write_text
from hcompress.strict.files import shown

UNFINISHED: Final = "the gate did not finish: see the build's log"
_MOST_LIMITS: Final = 1 << 20


@dataclass(frozen=True)
class Outputs:
    """Everything that is written, whatever comes out."""

    limits: Path
    markdown: Path | None = None
    junit: Path | None = None
    annotate: Callable[[str], None] | None = None
    """Told each annotation; None if nobody reads them."""
    environment: Mapping[str, str] | None = None

    def begin(self) -> None:
        """Mark the files as those of a gate that has not finished. Raises EnvironmentFailed."""
        self._files(markdown_of_error(UNFINISHED), junit_of_error(UNFINISHED))

    def finish(self, verdict: Verdict) -> None:
        """Raises EnvironmentFailed if something cannot be written."""
        for line in annotated(verdict, str(self.limits), _lines(self.limits)):
            self._annotate(line)
        text = markdown(verdict)
        self._files(text, junit(verdict))
        self._summary(text)

    def fail(self, error: str) -> None:
        """What kept the gate from a verdict. Raises EnvironmentFailed."""
        self._annotate(annotation_of_error(error, str(self.limits)))
        text = markdown_of_error(error)
        self._files(text, junit_of_error(error))
        self._summary(text)

    def _annotate(self, line: str) -> None:
        if self.annotate is not None:
            self.annotate(line)

    def _files(self, text: str, xml: str) -> None:
        for path, content in ((self.markdown, text), (self.junit, xml)):
            if path is None:
                continue
            try:
                write_text(path, content)
            except OSError as error:
                why = error.strerror
                raise EnvironmentFailed(f"{shown(path)}: cannot be written: {why}") from None

    def _summary(self, text: str) -> None:
        environment = os.environ if self.environment is None else self.environment
        append_summary(lambda: text, environment)


def append_summary(text: Callable[[], str], environment: Mapping[str, str] = os.environ) -> None:
    """Append Markdown to the file $GITHUB_STEP_SUMMARY names; where it is unset none is made."""
    target = environment.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    try:
        # O_NONBLOCK: a pipe that nobody reads must not hang a build.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        handle = os.open(target, flags, 0o666)
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text())
    except OSError as error:
        raise EnvironmentFailed(
            f"{shown(target)}: GITHUB_STEP_SUMMARY cannot be written: {error.strerror}"
        ) from None


def _lines(limits: Path) -> dict[str, int]:
    """The number of the line of the limits on which a path or a name stands, by it."""
    try:
        text = limits.read_bytes()[:_MOST_LIMITS].decode("utf-8", "replace")
    except OSError:
        return {}
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, value = line.partition("=")
        if equals and key.strip() in {"path", "name"}:
            found.setdefault(value.strip().strip("\"'"), number)
    return found
