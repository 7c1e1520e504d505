"""The report as one self-contained HTML page: no scripts, nothing loaded from anywhere.

Charsets, labels and decoded texts come out of model files and data: all text is escaped.
"""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from importlib import resources
from string import Template

from hcompress import __version__
from hcompress.reports.encodings import encoding_rows
from hcompress.reports.figures import accuracy_figure, encodings_figure, short_name, waterfall
from hcompress.reports.model import (
    Codes,
    Comparison,
    Encodings,
    RunReport,
    Samples,
    duration_text,
)
from hcompress.reports.rows import accuracy_rows, code_rows, run_rows, stage_rows, summary_rows
from hcompress.reports.size_table import table1_rows
from hcompress.strict.show import visible

NO_FIGURES = (
    'The figures are missing: matplotlib is not installed (pip install "hcompress[report]")'
)


def render_page(report: RunReport) -> str:
    """The whole page. Without matplotlib it has no figures, and says so."""
    template = resources.files("hcompress.reports").joinpath("page.html")
    return Template(template.read_text(encoding="utf-8")).substitute(
        title=f"{text(report.name)}: hcompress report", body="\n".join(_sections(report))
    )


def text(value: str) -> str:
    """``value`` escaped, with what cannot be seen shown as its code point."""
    return html.escape(visible(value))


def _sections(report: RunReport) -> Iterator[str]:
    yield _head(report)
    yield "<h2>Sizes</h2>"
    like = "" if report.first.foreign else ", as the paper's Table 1"
    yield (
        f"<p>A column a stage{like}: what is in force after it, and what the "
        "file weighs. The groups add up to the file's bytes; shared weights count once.</p>"
    )
    yield _grid(table1_rows(report.columns))
    yield from _figures(report)
    if report.accuracies:
        yield _accuracy_table(report)
    if report.samples is not None and report.samples.lines:
        yield _samples(report.samples)
    if report.codes is not None:
        yield _codes(report.codes)
    if report.encodings is not None:
        yield from _encodings(report.encodings)
    yield "<h2>What this run does not show</h2>"
    yield "<ul>" + "".join(f"<li>{text(line)}</li>" for line in report.limits) + "</ul>"
    yield from _stages(report)
    yield "<h2>To make it again</h2>"
    yield _facts(run_rows(report))
    yield f"<footer>Written by hcompress {text(__version__)}.</footer>"


def _head(report: RunReport) -> str:
    rows = summary_rows(report)
    tiles = "".join(
        f'<div class="tile"><small>{text(name)}</small><b>{text(value)}</b></div>'
        for name, value in rows[:3]
    )
    return (
        f"<header><h1>{text(report.name)}</h1>"
        f'<p class="soft">{text(report.summary)}</p>'
        f'<div class="tiles">{tiles}</div></header>'
    )


def _grid(rows: Sequence[Sequence[str]]) -> str:
    header, *body = rows
    lines = []
    for row in body:
        strong = ' class="strong"' if row[0].startswith("total") else ""
        cells = "".join(f"<td>{text(cell)}</td>" for cell in row[1:])
        lines.append(f'<tr{strong}><th scope="row">{text(row[0])}</th>{cells}</tr>')
    heads = "".join(f'<th scope="col">{text(cell)}</th>' for cell in header)
    return (
        f'<div class="scroll"><table class="grid"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _figures(report: RunReport) -> Iterator[str]:
    try:
        yield _figure(waterfall(report), "Size after each stage: what it took away, or added.")
    except ImportError:
        yield f"<p><em>{text(NO_FIGURES)}.</em></p>"
    if not report.accuracies:
        return
    yield "<h2>Accuracy after each stage</h2>"
    try:
        caption = "Lines read exactly, with Wilson's 95% interval."
        yield _figure(accuracy_figure(report), caption)
    except ImportError:
        return  # said above


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{text(caption)}</figcaption></figure>"


def _accuracy_table(report: RunReport) -> str:
    return _grid(accuracy_rows(report))


def _samples(samples: Samples) -> str:
    names = ("line", "image", "truth", samples.before, samples.after)
    heads = "".join(f"<th>{text(name)}</th>" for name in names)
    body = "".join(_sample(line, names) for line in samples.lines)
    note = f"<p><em>{text(samples.note)}</em></p>" if samples.note else ""
    return (
        "<h2>Lines before and after</h2>"
        f'<p class="soft">From {text(short_name(samples.data))}. No fair sample: half or more, '
        "where there are as many, are lines on which the two models differ. What differs from the "
        "truth is marked.</p>"
        f'{note}<table class="read"><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'
    )


def _sample(line: Comparison, names: Sequence[str]) -> str:
    image = "–" if line.image is None else f'<img src="{html.escape(line.image)}" alt="">'
    cells = (
        f"{line.index}",
        image,
        f'<bdi class="text">{text(line.truth)}</bdi>',
        _reading(line.before, line.truth),
        _reading(line.after, line.truth),
    )
    return (
        "<tr>"
        + "".join(
            f'<td data-name="{text(name)}">{cell}</td>'
            for name, cell in zip(names, cells, strict=True)
        )
        + "</tr>"
    )


def _reading(read: str, truth: str) -> str:
    if read == truth:
        return f'<span class="good">✓ <bdi class="text">{text(read)}</bdi></span>'
    if not read:
        return '<span class="bad">✗ <i>nothing</i></span>'
    marked = "".join(_marked(read, truth))
    return f'<span class="bad">✗</span> <bdi class="text">{marked}</bdi>'


def _marked(read: str, truth: str) -> Iterator[str]:
    """``read`` with what differs from ``truth`` marked; a thin mark where something is missing."""
    matcher = SequenceMatcher(None, truth, read, autojunk=False)
    for kind, _, _, start, end in matcher.get_opcodes():
        if kind == "equal":
            yield text(read[start:end])
        elif kind == "delete":
            yield '<mark class="gap"></mark>'
        else:
            yield f"<mark>{text(read[start:end])}</mark>"


def _codes(codes: Codes) -> str:
    items = "".join(
        f'<li><bdi class="own" title="{_code_points(character)}">{text(character)}</bdi>'
        + '<span class="near">'
        + "".join(
            f'<span title="{_code_points(other.character)}"><bdi>{text(other.character)}</bdi>'
            f"<small>{other.distance}</small></span>"
            for other in neighbours
        )
        + "</span></li>"
        for character, neighbours in codes.nearest
    )
    return (
        "<h2>Nearest codes</h2>"
        "<p>The characters whose codes differ in the fewest bits, as in the paper's Figure 1: what "
        "looks alike should be near, yet not too near to tell apart.</p>"
        f'<ul class="codes">{items}</ul>{_facts(code_rows(codes))}'
    )


def _encodings(found: Encodings) -> Iterator[str]:
    yield "<h2>Ways to store the head</h2>"
    yield (
        "<p>Every encoding that was weighed, on lines that it was not fitted to: "
        f"<b>{text(found.chosen)}</b> was chosen.</p>"
    )
    with contextlib.suppress(ImportError):  # said above
        caption = "Bytes of the head against the points of lines right that it loses."
        yield _figure(encodings_figure(found), caption)
    yield _grid(encoding_rows(found))


def _code_points(characters: str) -> str:
    return " ".join(f"U+{ord(character):04X}" for character in characters)


def _stages(report: RunReport) -> Iterator[str]:
    yield "<h2>Stages</h2>"
    for entry in report.stages:
        head = f"{text(entry.folder)} <small>{duration_text(entry.seconds)}</small>"
        yield f"<details><summary>{head}</summary>{_facts(stage_rows(entry))}</details>"


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>" for name, value in rows)
    return f'<table class="facts"><tbody>{body}</tbody></table>'
