"""The figures of a report as inline SVG: drawn by matplotlib, coloured by the page.

The same data gives the same bytes: no dates, fixed ids, text kept as text. Colours are CSS
variables of the page, so that one drawing serves light and dark.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from hcompress.reports.encodings import on_the_edge
from hcompress.reports.model import Accuracy, Encodings, RunReport
from hcompress.reports.size_table import MIB, mib_text, percent_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_INK, _LINE, _TOTAL, _LESS, _MORE, _OTHER, _PAPER = (
    "#010101",
    "#020202",
    "#030303",
    "#040404",
    "#050505",
    "#060606",
    "#070707",
)
_COLOURS: Final = {
    _INK: "var(--ink)",
    _LINE: "var(--line)",
    _TOTAL: "var(--total)",
    _LESS: "var(--less)",
    _MORE: "var(--more)",
    _OTHER: "var(--other)",
    _PAPER: "var(--paper)",
}
"""Colours matplotlib draws with -> what the page replaces them by."""
_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": _INK,
    "text.parse_math": False,  # a label may hold a dollar sign
    "axes.labelcolor": _INK,
    "axes.edgecolor": _LINE,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "ytick.major.size": 0,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
}
_WIDTH: Final = 5.4
"""Inches: text stays legible when a phone shrinks the drawing to its width."""
_ROW: Final = 0.3
"""Inches a row takes."""
_LINEAR: Final = 0.5
"""Points of loss below which the axis is linear: most of what matters loses nothing."""


def waterfall(report: RunReport) -> str:
    """The size after each stage as falling bars, MiB; raises ImportError without matplotlib."""
    sizes = [column.bytes for column in report.columns]
    names = [column.name for column in report.columns]

    def draw(axes: Axes) -> None:
        reach = max(sizes) / MIB
        note: Any = {"va": "center", "bbox": {"facecolor": _PAPER, "edgecolor": "none", "pad": 0.8}}
        for row, size in enumerate(sizes):
            before = sizes[row - 1] if row else 0
            if row == 0:
                left, width, colour, text = 0.0, size / MIB, _TOTAL, mib_text(size)
            else:
                change = size - before
                left, width = min(size, before) / MIB, abs(change) / MIB
                colour, text = (_LESS if change < 0 else _MORE), _signed(change)
            axes.barh(row, width, left=left, color=colour, height=0.62)
            axes.text(left + width + reach * 0.012, row, text, **note)
            if row and not width:
                axes.plot([left, left], [row - 0.31, row + 0.31], color=_TOTAL, lw=1.6)
            if row:
                axes.plot([before / MIB] * 2, [row - 1.31, row + 0.31], color=_LINE, lw=0.8)
        axes.barh(len(sizes), sizes[-1] / MIB, color=_TOTAL, height=0.62)
        axes.text(sizes[-1] / MIB + reach * 0.012, len(sizes), mib_text(sizes[-1]), **note)
        axes.set_xlim(0, reach * 1.14)
        axes.set_xlabel("MiB on disk")

    last = f"{names[-1]}, total"
    return _figure("waterfall", "Size after each stage", [*names, last], draw)


def _signed(change: int) -> str:
    if change == 0:
        return "±0"
    if abs(change) < 0.005 * MIB:
        return f"{change:+,} bytes".replace("-", "−")
    return f"+{mib_text(change)}" if change > 0 else mib_text(change)


def accuracy_figure(report: RunReport) -> str:
    """Lines read after each stage with Wilson's 95% interval, a mark a set of lines.

    Raises ImportError without matplotlib.
    """
    names = [column.name for column in report.columns]
    sets = _sets(report.accuracies)

    def draw(axes: Axes) -> None:
        marks = ((_TOTAL, "o"), (_LESS, "s"), (_MORE, "D"), (_OTHER, "^"))
        for number, (label, entries) in enumerate(sets):
            colour, mark = marks[number % len(marks)]
            offset = 0.22 * (number - (len(sets) - 1) / 2)
            centres = [100 * entry.accuracy for entry in entries]
            axes.errorbar(
                centres,
                [entry.step + offset for entry in entries],
                xerr=[
                    [max(0.0, 100 * (entry.accuracy - entry.low)) for entry in entries],
                    [max(0.0, 100 * (entry.high - entry.accuracy)) for entry in entries],
                ],
                fmt=mark,
                color=colour,
                markersize=4.5,
                capsize=2.5,
                lw=1.2,
                label=label,
            )
        low = min(100 * entry.low for entry in report.accuracies)
        high = max(100 * entry.high for entry in report.accuracies)
        axes.set_xlim(max(0.0, low - 0.06 * (high - low) - 0.5), min(100.5, high + 1.5))
        axes.set_xlabel("lines read exactly, %")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=1, borderaxespad=0.2)

    return _figure("accuracy", "Accuracy after each stage", names, draw, head=0.2 * len(sets))


def encodings_figure(found: Encodings) -> str:
    """Each encoding of a head, its bytes against the points of lines right that it loses.

    Named are those that no smaller one beats, and the chosen one. Raises ImportError without
    matplotlib.
    """
    named = {row.encoding for row in on_the_edge(found)} | {found.chosen}

    def draw(axes: Axes) -> None:
        for row in found.rows:
            chosen, far = row.encoding == found.chosen, row.encoding in named
            colour = _MORE if chosen else _TOTAL if far else _OTHER
            size = row.bytes / MIB
            axes.plot(size, row.loss, "D" if chosen else "o", color=colour, ms=6 if chosen else 4)
            if far:
                axes.annotate(
                    row.encoding, (size, row.loss), (5, 5), textcoords="offset points", rotation=30
                )
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=_LINEAR)
        axes.set_ylim(min(-0.1, *(1.2 * row.loss for row in found.rows)), 100)
        reach = max(row.bytes for row in found.rows) / min(row.bytes for row in found.rows)
        axes.set_xlim(right=max(row.bytes for row in found.rows) / MIB * reach**0.12)
        ticks = _ticks([row.bytes / MIB for row in found.rows])
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.grid()
        axes.minorticks_off()
        losses = [0, 0.5, 1, 2, 5, 10, 20, 50, 100]
        axes.set_yticks(losses, [f"{loss:g}" for loss in losses])
        axes.set_xlabel("MiB of the head on disk")
        axes.set_ylabel("points of lines right lost")

    return _drawn("encodings", "Bytes of the head against what it loses", 3.4, draw)


def _ticks(sizes: Sequence[float]) -> list[float]:
    """1, 2 and 5 times powers of ten within the sizes, or next to them."""
    steps = [digit * 10.0**power for power in range(-6, 5) for digit in (1, 2, 5)]
    inside = [step for step in steps if min(sizes) <= step <= max(sizes)]
    return inside or [min(steps, key=lambda step: abs(math.log(step / sizes[0])))]


def _sets(accuracies: Sequence[Accuracy]) -> list[tuple[str, list[Accuracy]]]:
    """The evaluations by the lines they were made on, each set with its label."""
    sets: dict[tuple[str, int], list[Accuracy]] = {}
    for entry in accuracies:
        sets.setdefault((entry.data_digest, entry.images), []).append(entry)
    return [
        (f"{short_name(rows[0].data)}, {rows[0].images:,} lines", rows) for rows in sets.values()
    ]


def short_name(data: str) -> str:
    """The last part of a path to data: the rest is somebody's machine."""
    return data.rstrip("/").rsplit("/", 1)[-1]


def accuracy_text(entry: Accuracy) -> str:
    """Accuracy with its interval, in per cent: 95.20 (94.18 to 96.05)."""
    low, high = percent_text(entry.low), percent_text(entry.high)
    return f"{percent_text(entry.accuracy)} ({low} to {high})"


def _figure(
    name: str, label: str, rows: Sequence[str], draw: Callable[[Axes], None], head: float = 0.0
) -> str:
    """An SVG with one horizontal row a name, drawn by ``draw`` into its axes."""

    def draw_rows(axes: Axes) -> None:
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="x")
        draw(axes)

    return _drawn(name, label, _ROW * len(rows) + 0.6 + head, draw_rows)


def _drawn(name: str, label: str, height: float, draw: Callable[[Axes], None]) -> str:
    """An SVG of so many inches, drawn by ``draw`` into its axes."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        draw(figure.add_subplot())
        buffer = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    return _inline(buffer.getvalue(), name, label)


def _inline(svg: str, name: str, label: str) -> str:
    """The <svg> element alone, its ids made unique in the page, its colours the page's."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    for drawn, shown in _COLOURS.items():
        svg = svg.replace(drawn, shown)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).strip()
