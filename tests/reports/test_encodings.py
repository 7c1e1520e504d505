"""Ways to store a head, as a report shows them."""

from __future__ import annotations

from typing import Any

import pytest

from hcompress.errors import InputRefused
from hcompress.reports.encodings import encoding_rows, on_the_edge, read_encodings
from hcompress.reports.figures import encodings_figure
from hcompress.reports.model import StageEntry
from hcompress.reports.size_table import Column, table1_rows

ROWS = [
    {"encoding": "int8", "bytes": 2_000_000, "loss": 0.0, "same_text": 1.0, "file_bytes": 9},
    {"encoding": "products-40", "bytes": 600_000, "loss": 0.2, "rare_frames_kept": None},
    {"encoding": "signs-120", "bytes": 700_000, "loss": 40.0},
]


def stage(figures: dict[str, Any], name: str = "encode-head") -> StageEntry:
    return StageEntry("02-head", name, "done", "k", 1, 1, 0.0, "", {}, figures, {}, {}, {})


def test_encodings_are_read_smallest_first() -> None:
    found = read_encodings([stage({"encoding": "products-40", "rows": ROWS})])
    assert found is not None
    assert [row.encoding for row in found.rows] == ["products-40", "signs-120", "int8"]
    assert [row.encoding for row in on_the_edge(found)] == ["products-40", "int8"]
    table = encoding_rows(found)
    assert table[1][:3] == ["products-40 ✓", "600,000", "0.20"]
    assert table[3][3] == "100.00"
    assert table[1][6] == "–"
    svg = encodings_figure(found)
    assert svg == encodings_figure(found), "the same data, the same bytes"
    assert ">products-40<" in svg
    assert ">signs-120<" not in svg, "what a smaller one beats has no name"


def test_without_rows_there_is_nothing_to_show() -> None:
    assert read_encodings([stage({"encoding": "int4", "rows": []})]) is None
    assert read_encodings([stage({"rows": ROWS}, "another")]) is None
    with pytest.raises(InputRefused, match="02-head: report"):
        read_encodings([stage({"encoding": "int4", "rows": [{"bytes": "many"}]})])


def test_the_papers_rows_are_not_for_foreign_columns() -> None:
    theirs = Column("import", (), 5, foreign=True)
    names = [row[0] for row in table1_rows([theirs, Column("q", ("Body in 6 Bits",), 3)])]
    assert "Hamming Classifier" in names
    names = [row[0] for row in table1_rows([theirs, theirs])]
    assert names == ["", "total, MiB"]
