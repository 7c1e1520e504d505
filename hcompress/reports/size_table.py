"""The paper's Table 1 as plain data: a column a stage, rows of strings.

The one place that turns sizes into the growing table. The terminal, the reports and the
`table1` command all draw from these rows, so they can never disagree. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hcompress.sizes import GROUPS, RERANKED, TECHNIQUES, Breakdown, Component
from hcompress.strict.show import visible

MIB = 1 << 20
PAPER_TECHNIQUES = TECHNIQUES[:6]
"""The check-mark rows of Table 1, in the paper's order; INT8 is ours."""
PAPER_CHARACTERS = 20_948
"""How many characters the paper's sizes are for."""
NEARLY = 0.05
"""Share by which a model may have more characters or fewer and still be held against them."""
PAPER_MIB: Mapping[frozenset[str], float] = {
    **{
        frozenset(PAPER_TECHNIQUES[:count]): mib  # Table 1: one more technique a column
        for count, mib in enumerate((305.8, 55.6, 36.7, 16.6, 10.6, 6.6, 3.9))
    },
    # Table 2, ResNet31, Chinese model size
    frozenset(PAPER_TECHNIQUES[1:2]): 267.0,
    frozenset(PAPER_TECHNIQUES[1:3]): 226.9,
    frozenset(PAPER_TECHNIQUES[3:5]): 266.1,
    frozenset(PAPER_TECHNIQUES[1:5]): 187.1,
}
"""What the paper prints for a set of techniques at 20,948 characters, in MiB (its "Mb")."""


@dataclass(frozen=True)
class Column:
    """One column of the table: a stage, what is in force after it, and what it weighs."""

    name: str
    techniques: tuple[str, ...]
    bytes: int
    components: tuple[Component, ...] = ()
    accuracy: float | None = None
    """Fraction of lines read exactly, 0 to 1; None if nothing was read."""
    characters: int | None = None
    """How many the model can read; None if nobody knows."""
    foreign: bool = False
    """It is, or was made of, a recogniser from elsewhere: the paper's techniques are not for it."""

    @property
    def mib(self) -> float:
        return self.bytes / MIB

    @property
    def paper_mib(self) -> float | None:
        """The paper's size for the same techniques at about as many characters, if it prints one.

        Its sizes are for 20,948 characters: beside a model of 94 they would say nothing.
        """
        if self.characters is None:
            return None
        if abs(self.characters - PAPER_CHARACTERS) > NEARLY * PAPER_CHARACTERS:
            return None
        return PAPER_MIB.get(frozenset(self.techniques) - {RERANKED})

    @property
    def params(self) -> int:
        """Unique parameters, shared weights once."""
        return sum(component.params for component in self.components)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, sizes in bytes and MiB, the paper's beside them."""
        return {
            "name": self.name,
            "techniques": list(self.techniques),
            "bytes": self.bytes,
            "mib": self.mib,
            "paper_mib": self.paper_mib,
            "characters": self.characters,
            "foreign": self.foreign,
            "accuracy": self.accuracy,
            "components": [asdict(component) for component in self.components],
        }


def column(
    name: str,
    techniques: Sequence[str],
    breakdown: Mapping[str, Any],
    accuracy: float | None = None,
    characters: int | None = None,
    foreign: bool = False,
) -> Column:
    """A column from a manifest's ``techniques`` and ``breakdown`` as they stand in JSON.

    Raises KeyError, TypeError or ValueError if the breakdown is not one.
    """
    components = tuple(
        Component(str(row["name"]), int(row["bytes"]), int(row["params"]))
        for row in breakdown["components"]
    )
    size = int(breakdown["bytes"])
    return Column(name, tuple(techniques), size, components, accuracy, characters, foreign)


def mib_text(size: int) -> str:
    """``size`` bytes in MiB: two decimals, one from 100 MiB on, a dash for nothing."""
    if size == 0:
        return "–"
    if abs(size) < 0.005 * MIB:
        return "<0.01" if size > 0 else ">−0.01"
    mib = size / MIB
    text = f"{mib:.1f}" if abs(mib) >= 99.95 else f"{mib:.2f}"
    return text.replace("-", "−")


def percent_text(fraction: float | None) -> str:
    """A fraction of 0 to 1 as a percentage with two decimals; a dash for None."""
    return "–" if fraction is None else f"{100 * fraction:.2f}"


def table1_rows(columns: Sequence[Column]) -> list[list[str]]:
    """The table as rows of strings, the first one the header; every row is as long.

    Rows: header; a row a technique (check marks); a row a group of the breakdown, leaving out
    groups that are empty in every column; total; parameters, unless all is foreign, where several
    may be packed in a number; the paper's total, if it prints one
    for these techniques and this many characters; accuracy, if any was measured.
    """
    if not columns:
        return []
    rows = [["", *(entry.name for entry in columns)]]
    rows += [
        [name, *("✓" if name in entry.techniques else "" for entry in columns)]
        for name in _technique_names(columns)
    ]
    rows += _group_rows(columns)
    rows.append(["total, MiB", *(mib_text(entry.bytes) for entry in columns)])
    if any(entry.components and not entry.foreign for entry in columns):
        rows.append(["parameters", *(_params_text(entry) for entry in columns)])
    papers = [entry.paper_mib for entry in columns]
    if any(mib is not None for mib in papers):
        label = f"paper, MiB ({PAPER_CHARACTERS:,} characters)"
        rows.append([label, *("" if mib is None else f"{mib:.1f}" for mib in papers)])
    if any(entry.accuracy is not None for entry in columns):
        rows.append(["lines read, %", *(percent_text(entry.accuracy) for entry in columns)])
    return rows


def _technique_names(columns: Sequence[Column]) -> list[str]:
    """The paper's six, then whatever else is in force (INT8), in order of appearance; of foreign
    recognisers alone, what is in force."""
    names = [] if all(entry.foreign for entry in columns) else list(PAPER_TECHNIQUES)
    for entry in columns:
        names += [name for name in entry.techniques if name not in names]
    return names


def _group_rows(columns: Sequence[Column]) -> list[list[str]]:
    sizes = [{part.name: part.bytes for part in entry.components} for entry in columns]
    names = list(GROUPS)
    for size in sizes:
        names += [name for name in size if name not in names]
    return [
        [f"{name}, MiB", *(mib_text(size.get(name, 0)) for size in sizes)]
        for name in names
        if any(size.get(name, 0) for size in sizes)
    ]


def _params_text(entry: Column) -> str:
    return f"{entry.params:,}" if entry.components else "–"


def breakdown_rows(found: Breakdown) -> list[list[str]]:
    """One file's breakdown as rows of strings, the first one the header, the last the total."""
    rows = [["component", "bytes", "MiB", "%", "parameters"]]
    for part in found.components:
        share = f"{100 * part.bytes / found.bytes:.1f}" if found.bytes else ""
        size = f"{part.bytes:,}"
        rows.append([part.name, size, mib_text(part.bytes), share, f"{part.params:,}"])
    total = f"{found.bytes:,}"
    rows.append(["total", total, mib_text(found.bytes), "100.0", f"{found.params:,}"])
    return rows


def table1_markdown(columns: Sequence[Column]) -> str:
    """The same rows as a Markdown table; an empty string without columns."""
    return markdown_table(table1_rows(columns))


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as a Markdown table: header first, first column left, the rest right."""
    if not rows:
        return ""
    lines = [_markdown_row(row) for row in rows]
    rule = "| --- |" + " ---: |" * (len(rows[0]) - 1)
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(markdown_text(cell) for cell in cells) + " |"


_MARKDOWN_SPECIAL = frozenset("\\`*_[]<>|#~&!$")


def markdown_text(text: str) -> str:
    """``text`` for a Markdown page, on one line, with nothing left that Markdown would obey.

    Charsets, labels and decoded texts are not ours: they may hold pipes, tags or backticks.
    """
    return "".join(_markdown_character(character) for character in text)


def _markdown_character(character: str) -> str:
    if character in _MARKDOWN_SPECIAL:
        return "&lt;" if character == "<" else "&amp;" if character == "&" else "\\" + character
    return visible(character)
