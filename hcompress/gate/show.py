"""A verdict as rows of text, as Markdown, as JUnit's XML and as GitHub's annotations.

No colours: those are the console's. Names and texts from outside can't leave their place in any.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final
from xml.sax.saxutils import quoteattr

from hcompress.gate.verdict import Row, Status, Verdict
from hcompress.strict.show import visible

HEADER = ("status", "artifact", "what", "now", "baseline", "change", "note")
NAMES = 3
"""Columns that say what a row is of: without them no number in it says anything."""
_MOST_ROWS: Final = 500
"""Of a table in Markdown: GitHub drops a summary of more than 1 MiB."""
_MARKS = {
    Status.PASS: "✅",
    Status.WARN: "⚠️",
    Status.FAIL: "❌",
    Status.NEW: "🆕",
    Status.REMOVED: "➖",
}

_ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", **{one: "\\" + one for one in "\\|`*_[]"}}
)


def cells(verdict: Verdict) -> list[tuple[str, ...]]:
    """``HEADER`` and a row of texts for each judged number."""
    return [HEADER, *(_cells(row) for row in verdict.rows)]


def notes(verdict: Verdict) -> list[str]:
    """What is said of the rows, a line each and the failures first: no column is wide enough."""
    width = max(map(len, Status))
    return [
        f"{row.status:<{width}}  {row.artifact}: {row.subject}: {row.note}"
        for row in verdict.by_severity
        if row.note
    ]


def markdown(verdict: Verdict, title: str = "hcompress gate") -> str:
    """A heading, the verdict, and a table, failures first and what is unchanged folded away.

    For $GITHUB_STEP_SUMMARY and for comments.
    """
    lines = [f"## {_escaped(title)}", "", f"**{_escaped(verdict.summary)}**", ""]
    if verdict.ref is not None:
        lines += [f"Compared with the baseline at {_escaped(verdict.ref[:12])}.", ""]
    open_rows = [row for row in verdict.by_severity if not row.unchanged]
    folded = [row for row in verdict.rows if row.unchanged]
    lines += _table(open_rows)
    if folded:
        count = f"{len(folded)} row{'' if len(folded) == 1 else 's'} unchanged, within every limit"
        lines += ["<details>", f"<summary>{count}</summary>", "", *_table(folded), "</details>", ""]
    return "\n".join(lines) + "\n"


def markdown_of_error(error: str, title: str = "hcompress gate") -> str:
    """The same heading over what kept the gate from a verdict."""
    return f"## {_escaped(title)}\n\n**gate failed: no verdict**\n\n❌ {_escaped(error)}\n\n"


def _table(rows: list[Row]) -> list[str]:
    if not rows:
        return []
    lines = [_line(HEADER), "| --- | --- | --- | ---: | ---: | ---: | --- |"]
    for row in rows[:_MOST_ROWS]:
        first, *rest = _cells(row)
        lines.append(_line((f"{_MARKS[row.status]} {first}", *rest)))
    more = len(rows) - _MOST_ROWS
    return [*lines, "", *((f"{more:,} more rows: `--json` has them.", "") if more > 0 else ())]


def junit(verdict: Verdict) -> str:
    """The verdict as JUnit's XML: a test case a row."""
    cases = []
    for row in verdict.rows:
        open_tag = (
            f"  <testcase classname={_attribute(row.artifact)} name={_attribute(row.subject)}"
        )
        note = _attribute(row.note)
        if row.status is Status.FAIL:
            kind = _attribute(row.decisive.rule if row.decisive else "fail")
            cases.append(f"{open_tag}>\n    <failure type={kind} message={note}/>\n  </testcase>")
        elif row.note:
            told = quoteattr(f"{row.status}: ")[1:-1] + note[1:-1]
            cases.append(f"{open_tag}>\n    <system-out>{told}</system-out>\n  </testcase>")
        else:
            cases.append(f"{open_tag}/>")
    return _suite(cases, failures=verdict.count(Status.FAIL))


def junit_of_error(error: str) -> str:
    """A suite whose one case could not be run."""
    case = (
        f'  <testcase classname="hcompress" name="gate">\n    <error message={_attribute(error)}/>'
    )
    return _suite([f"{case}\n  </testcase>"], errors=1)


def _suite(cases: list[str], failures: int = 0, errors: int = 0) -> str:
    counts = f'tests="{len(cases)}" failures="{failures}" errors="{errors}"'
    suite = f'<testsuite name="hcompress gate" {counts}>'
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', suite, *cases, "</testsuite>", ""])


def _attribute(text: str) -> str:
    return quoteattr(visible(text), {'"': "&quot;"})


def annotated(verdict: Verdict, file: str, lines: Mapping[str, int] | None = None) -> list[str]:
    """A line for each row that fails or warns, which GitHub shows beside the limits ``file``.

    ``lines``: where in it an artifact stands, by its path.
    """
    found = []
    for row in verdict.by_severity:
        kind = {Status.FAIL: "error", Status.WARN: "warning"}.get(row.status)
        if kind is None:
            continue
        place = _place(row.artifact, lines or {})
        found.append(_annotation(kind, file, f"{row.artifact}: {row.subject}", row.note, place))
    return found


def _place(artifact: str, lines: Mapping[str, int]) -> int | None:
    """The line of its own path, or of a pattern that it fits."""
    if artifact in lines:
        return lines[artifact]
    fitting = (n for key, n in lines.items() if fnmatchcase(artifact, key.replace("**/", "")))
    return next(fitting, None)


def annotation_of_error(error: str, file: str) -> str:
    """The line for what kept the gate from a verdict."""
    return _annotation("error", file, "hcompress gate", error, None)


def _annotation(kind: str, file: str, title: str, text: str, line: int | None) -> str:
    place = f",line={line}" if line else ""
    named = f"file={_property(file)}{place},title={_property(title)}"
    return f"::{kind} {named}::{visible(text).replace('%', '%25')}"


def _property(text: str) -> str:
    return visible(text).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        str(row.status),
        row.artifact,
        row.subject,
        _shown(row.value),
        _shown(row.baseline),
        _change(row),
        row.note,
    )


def _shown(value: int | Decimal | None) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{100 * value:.2f}%"
    return f"{value:,}"


def _change(row: Row) -> str:
    value, base = row.value, row.baseline
    if isinstance(value, Decimal) and isinstance(base, Decimal):
        return f"{100 * (value - base):+.2f} points"
    if isinstance(value, int) and isinstance(base, int):
        percent = f" ({100 * (value - base) / base:+.2f}%)" if base else ""
        return f"{value - base:+,}{percent}" if value != base else "0"
    return ""


def _line(texts: tuple[str, ...]) -> str:
    return "| " + " | ".join(_escaped(text) for text in texts) + " |"


def _escaped(text: str) -> str:
    """Text that cannot leave its cell or become a tag: paths are anyone's to choose."""
    return visible(" ".join(text.split())).translate(_ESCAPES)
