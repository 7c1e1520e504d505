"""The report as Markdown: for a pull request, a wiki, a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hcompress.reports.encodings import encoding_rows
from hcompress.reports.figures import short_name
from hcompress.reports.model import Codes, RunReport, Samples
from hcompress.reports.rows import accuracy_rows, code_rows, run_rows, stage_rows, summary_rows
from hcompress.reports.size_table import markdown_table, markdown_text, table1_markdown


def render_markdown(report: RunReport) -> str:
    """The whole report, without its figures and images."""
    return "\n".join(block.rstrip("\n") + "\n" for block in _blocks(report) if block)


def _blocks(report: RunReport) -> Iterator[str]:
    yield f"# {markdown_text(report.name)}"
    yield markdown_text(report.summary)
    yield markdown_list(summary_rows(report))
    yield "## Sizes"
    yield table1_markdown(report.columns)
    if report.accuracies:
        yield "## Accuracy after each stage"
        yield markdown_table(accuracy_rows(report))
    if report.samples is not None and report.samples.lines:
        yield "## Lines before and after"
        yield _samples(report.samples)
    if report.codes is not None:
        yield "## Nearest codes"
        yield _codes(report.codes)
    if report.encodings is not None:
        yield "## Ways to store the head"
        yield markdown_table(encoding_rows(report.encodings))
    yield "## What this run does not show"
    yield "\n".join(f"- {markdown_text(sentence)}" for sentence in report.limits)
    yield "## Stages"
    for entry in report.stages:
        yield f"### {markdown_text(entry.folder)}"
        yield markdown_list(stage_rows(entry))
    yield "## To make it again"
    yield markdown_list(run_rows(report))


def markdown_list(rows: Iterable[tuple[str, str]]) -> str:
    """Names with their texts, a bullet each."""
    return "\n".join(f"- {markdown_text(name)}: {markdown_text(text)}" for name, text in rows)


def _samples(samples: Samples) -> str:
    rows: list[Sequence[str]] = [["line", "truth", samples.before, samples.after]]
    for line in samples.lines:
        readings = (_reading(read, line.truth) for read in (line.before, line.after))
        rows.append([str(line.index), line.truth, *readings])
    return f"From {markdown_text(short_name(samples.data))}.\n\n{markdown_table(rows)}"


def _reading(read: str, truth: str) -> str:
    return "✓" if read == truth else f"✗ {read}"


def _codes(codes: Codes) -> str:
    rows: list[Sequence[str]] = [["character", "nearest characters (distance in bits)"]]
    rows += [
        [character, ", ".join(f"{other.character} ({other.distance})" for other in neighbours)]
        for character, neighbours in codes.nearest
    ]
    return f"{markdown_list(code_rows(codes))}\n\n{markdown_table(rows)}"
