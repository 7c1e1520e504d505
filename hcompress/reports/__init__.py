"""What a run looked like: tables, figures, and the JSON, Markdown and HTML that hold them."""

from hcompress.reports.write import ReportPaths, write_report

__all__ = ["ReportPaths", "write_report"]
