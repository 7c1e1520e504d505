"""Table 1 at 20,948 characters: the contract, the paper's sizes, and this repository's gate."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from hcompress.artifacts.folder import open_artifact
from hcompress.gate.run import run_gate
from tests import ROOT
from tests.builders import SOFTMAX, pictures

pytestmark = pytest.mark.slow

PAPER = (305.8, 55.6, 36.7, 16.6, 10.6, 6.6, 3.9)
COMPUTED = (305.6, 55.3, 36.6, 16.6)
LIMIT = 3.90 * 2**20
INT8_LIMITS = {512: 2.70 * 2**20, 256: 2.00 * 2**20}


def hcompress(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "hcompress", *arguments],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("table1")


@pytest.fixture(scope="module")
def table(root: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(hcompress("table1", "--json", "--out", str(root)))
    return made


def test_it_has_the_papers_columns_in_its_order(table: dict[str, Any]) -> None:
    assert table["characters"] == 20_948
    assert [c["paper_mib"] for c in table["columns"]] == list(PAPER)
    counts = [len(c["techniques"]) for c in table["columns"]]
    assert counts == [0, 1, 2, 3, 4, 5, 6], "one more technique a column"
    assert [c["paper_mib"] for c in table["table2"]] == [305.8, 267.0, 226.9, 266.1, 187.1]


def test_bytes_are_the_files_and_add_up(table: dict[str, Any], root: Path) -> None:
    exported = [entry["onnx"] for entry in table["int8"]]
    for entry in (*table["columns"], *table["table2"], table["onnx"], *table["int8"], *exported):
        assert (root / entry["path"]).stat().st_size == entry["bytes"]
    for entry in (*table["columns"], *table["table2"], *table["int8"]):
        assert sum(c["bytes"] for c in entry["components"]) == entry["bytes"]


def test_sizes_are_the_papers(table: dict[str, Any]) -> None:
    sizes = [c["mib"] for c in table["columns"]]
    for found, expected in zip(sizes, COMPUTED, strict=False):
        assert found == pytest.approx(expected, rel=0.012)
    assert 10.6 * 0.95 <= sizes[4] <= 10.6 * 1.01
    assert 6.6 * 0.95 <= sizes[5] <= 6.6 * 1.01
    assert table["columns"][6]["bytes"] <= LIMIT
    assert table["onnx"]["bytes"] <= LIMIT
    for row in table["table2"]:
        assert row["mib"] == pytest.approx(row["paper_mib"], rel=0.002)


def test_int8_fits(table: dict[str, Any]) -> None:
    assert [entry["code_length"] for entry in table["int8"]] == list(INT8_LIMITS)
    for entry in table["int8"]:
        assert entry["techniques"][-1] == "INT8"
        assert entry["bytes"] <= INT8_LIMITS[entry["code_length"]]
        assert entry["onnx"]["bytes"] <= INT8_LIMITS[entry["code_length"]]


def test_each_file_names_its_stage_and_its_parent(table: dict[str, Any], root: Path) -> None:
    keys = {open_artifact(p.parent).key for p in root.glob("*/manifest.json")}
    for entry in table["columns"][1:]:
        manifest = open_artifact((root / entry["path"]).parent).manifest
        assert manifest is not None
        assert manifest.stage.name
        assert manifest.parent is not None
        assert manifest.parent.key in keys


def test_each_file_reads_an_image_alone(table: dict[str, Any], root: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    Image.fromarray(pictures(1, SOFTMAX)[0]).save(image)
    columns, smallest = table["columns"], table["int8"][1]
    chosen = (columns[0], columns[6], table["onnx"], smallest, smallest["onnx"])
    for number, entry in enumerate(chosen):
        alone = tmp_path / f"{number}" / Path(entry["path"]).name
        alone.parent.mkdir()
        shutil.copy(root / entry["path"], alone)
        line = json.loads(hcompress("read", str(alone), str(image), "--json"))
        assert set(line) >= {"image", "text", "confidence", "candidates"}
        assert 0 <= line["confidence"] <= 1


def test_this_repository_keeps_its_own_sizes(table: dict[str, Any], root: Path) -> None:
    assert table["onnx"]["path"] == "onnx/model.onnx"
    verdict = run_gate(ROOT / ".ci" / "sizes.toml", root=root)
    assert not verdict.failed, [row for row in verdict.rows if row.status == "fail"]
