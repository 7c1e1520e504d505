"""Draw docs/table1.svg from what `hcompress table1 --json` printed.

    hcompress table1 --json > table1.json
    python docs/draw_table1.py table1.json docs/table1.svg

The first column, the ResNet31 baseline, is left out: it would take five widths of the others.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

MIB = 1 << 20
COLOURS = {
    "backbone": "#6b7280",
    "decoder attention": "#9aa5b1",
    "decoder FFN": "#d0d5db",
    "embedding": "#f2b880",
    "classifier": "#e07a5f",
    "codebook": "#3d7ea6",
}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "table1",  # the same figures, the same bytes
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": "#24292f",
    "ytick.color": "#24292f",
}


def draw(columns: list[dict[str, Any]]) -> Figure:
    """A bar a column, MiB by group, with the paper's total in brackets."""
    figure = Figure(figsize=(8, 3.4), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for row, column in enumerate(columns):
        sizes = {part["name"]: part["bytes"] / MIB for part in column["components"]}
        left = 0.0
        for name, colour in COLOURS.items():
            width = sizes.get(name, 0.0)
            label = name if row == 0 or (row == 1 and name == "codebook") else None
            axes.barh(row, width, left=left, height=0.66, color=colour, label=label)
            left += width
        text = f"{column['mib']:.2f} MiB  (paper: {column['paper_mib']})"
        axes.text(left + 0.6, row, text, va="center")
    names = [columns[0]["name"] + ", softmax", *(f"+ {column['name']}" for column in columns[1:])]
    axes.set_yticks(range(len(columns)), names)
    axes.set_ylim(len(columns) - 0.5, -0.5)
    axes.set_xlim(0, 88)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    handles, labels = axes.get_legend_handles_labels()
    found = dict(zip(labels, handles, strict=True))
    axes.legend([found[name] for name in COLOURS], COLOURS, loc="lower right", frameon=False)
    return figure


def main(source: str, out: str) -> None:
    """Read the figures, write the drawing."""
    table = json.loads(Path(source).read_text(encoding="utf-8"))
    with matplotlib.rc_context(STYLE):
        metadata: Any = {"Date": None, "Creator": None}
        draw(table["columns"][1:]).savefig(out, format="svg", metadata=metadata)


if __name__ == "__main__":
    main(*sys.argv[1:])
