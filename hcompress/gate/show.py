"""A verdict as rows of text and as Markdown. No colours: those are the console's."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from hcompress.gate.verdict import Row, Status, Verdict
from hcompress.strict.show import visible

HEADER = ("status", "artifact", "what", "now", "baseline", "change", "note")
NAMES = 3
"""Columns that say what a row is of: without them no number in it says anything."""
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


def markdown(verdict: Verdict, title: str = "hcompress gate") -> str:
    """A heading, the verdict, and a table: for $GITHUB_STEP_SUMMARY."""
    lines = [f"## {_escaped(title)}", "", f"**{_escaped(verdict.summary)}**", ""]
    lines.append(_line(HEADER))
    lines.append("| --- | --- | --- | ---: | ---: | ---: | --- |")
    for row in verdict.rows:
        first, *rest = _cells(row)
        lines.append(_line((f"{_MARKS[row.status]} {first}", *rest)))
    return "\n".join(lines) + "\n\n"


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
