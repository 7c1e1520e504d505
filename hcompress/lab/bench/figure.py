"""Cost growth as one SVG: head time and model bytes against the number of characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MIB: Final = 2**20
SOFTMAX, HAMMING, PLAIN = "#b3541e", "#1f6f8b", "#7a9e3a"
STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "growth",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "legend.frameon": False,
}


def write_growth(entries: Sequence[Mapping[str, Any]], file: Path) -> None:
    """The figure; the same figures give the same bytes. Raises ImportError without matplotlib."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2)
        lines = (("softmax", SOFTMAX), ("portable", PLAIN), ("native", HAMMING))
        for name, colour in lines:
            _line(left, entries, f"{name}_us", 1.0, colour, LABELS[name])
        for name, colour in (("softmax", SOFTMAX), ("hamming", HAMMING)):
            _line(right, entries, f"{name}_bytes", 1 / MIB, colour, LABELS[name])
        left.set_ylabel("one query's head, µs")
        right.set_ylabel("model file, MiB")
        for axes in (left, right):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlabel("characters")
            axes.legend()
        figure.savefig(file, format="svg", metadata={"Date": None})


LABELS: Final = {
    "softmax": "softmax",
    "portable": "Hamming, plain ONNX Runtime",
    "native": "Hamming, native search",
    "hamming": "Hamming",
}


def _line(
    axes: Axes,
    entries: Sequence[Mapping[str, Any]],
    key: str,
    scale: float,
    colour: str,
    label: str,
) -> None:
    places = [entry["characters"] for entry in entries]
    heights = [entry[key] * scale for entry in entries]
    axes.plot(places, heights, color=colour, marker="o", markersize=3.5, lw=1.4, label=label)
