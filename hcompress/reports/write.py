"""Writes a run's report: JSON for machines, Markdown for reviews, one page for people."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from hcompress.reports.load import load_report
from hcompress.reports.markdown import render_markdown
from hcompress.reports.model import RunReport
from hcompress.reports.page import render_page
from hcompress.reports.samples import with_images
from hcompress.strict.atomic import write_text
from hcompress.strict.json import json_text


@dataclass(frozen=True)
class ReportPaths:
    """The three files of a report."""

    json: Path
    markdown: Path
    html: Path


def write_report(run: Path) -> ReportPaths:
    """Write `report.json`, `report.md` and `report.html` into the run's folder.

    Each file is replaced as a whole. Raises InputRefused, naming file and field, where a file
    of the run is missing or damaged; then nothing has been written.
    """
    report = _illustrate(load_report(run), run)
    paths = ReportPaths(run / "report.json", run / "report.md", run / "report.html")
    page, markdown = render_page(report), render_markdown(report)
    write_text(paths.json, _json(report))
    write_text(paths.markdown, markdown)
    write_text(paths.html, page)
    return paths


def _illustrate(report: RunReport, run: Path) -> RunReport:
    """The report with the images of its samples, made again from the data."""
    if report.samples is None:
        return report
    return dataclasses.replace(report, samples=with_images(report.samples, (Path(), run)))


def _json(report: RunReport) -> str:
    return json_text(report.to_dict()) + "\n"
