"""plan and shrink on a recogniser from elsewhere: a tiny one, and a real one where it is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from hcompress.cli import main
from hcompress.errors import EnvironmentFailed
from hcompress.runtime.foreign_reader import ForeignReader
from tests.foreign.builders import deep, saved, striped
from tests.foreign.conftest import Real

Captured = pytest.CaptureFixture[str]
RECIPE = """
schema_version = 1
name = "{name}"
[evaluate]
data = "{data}"
images = {images}
max_loss = 50
ignore = ["case", "space"]
[[stages]]
stage = "import"
[[stages]]
stage = "encode-head"
encoding = "{encoding}"
images = 12
{lines}
[[stages]]
stage = "quantise"
bits = 6
group = 128
images = 0
[[stages]]
stage = "drop-in"
images = 6
{lines}
"""


@pytest.fixture(autouse=True)
def _unchecked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripes are no text that a font draws."""
    from hcompress.foreign import check

    def none(_spec: object) -> list[Any]:
        raise EnvironmentFailed("no fonts")

    if "real" not in request.fixturenames:
        monkeypatch.setattr(check, "_samples", none)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "lines").mkdir()
    return striped(tmp_path / "lines", 12)


def recipe(folder: Path, data: Path, **said: Any) -> Path:
    given = {"name": "tiny", "images": 12, "encoding": "auto", "lines": f'data = "{data}"', **said}
    path = folder / "tiny.toml"
    path.write_text(RECIPE.format(data=data, **given))
    return path


def test_plan_weighs_every_encoding(data: Path, tmp_path: Path, capsys: Captured) -> None:
    model = saved(deep(), tmp_path)
    words = ["plan", str(model), "--data", str(data), "--images", "12"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["encoding"]: row for row in found["rows"]}
    assert {"int8", "int4", "products-4", "signs-16"} <= rows.keys()
    assert rows["int8"]["same_text"] == rows["int8"]["frames_kept"] == 1
    assert rows["int4"]["bytes"] < rows["int8"]["bytes"] < rows["int8"]["file_bytes"]
    assert {"sure_frames_kept", "rare_frames_kept"} <= rows["int8"].keys()
    assert found["chosen"] in rows
    assert main(words) == 0
    said = capsys.readouterr().out
    marked = [line.split()[1] for line in said.splitlines() if line.startswith("→")]
    assert marked == [found["chosen"]]
    assert f"{found['chosen']}: the smallest of {len(rows)} that loses no more than 0.5" in said


def test_codes_are_learnt_where_steps_are_given(
    data: Path, tmp_path: Path, capsys: Captured
) -> None:
    model = saved(deep(), tmp_path)
    words = ["plan", str(model), "--data", str(data), "--images", "12", "--learn-steps", "3"]
    assert main([*words, "--json"]) == 0
    rows = {row["encoding"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert {"learnt-16", "learnt-codes-16", "learnt-codes-16+5"} <= rows.keys()
    assert rows["learnt-16"]["bytes"] == rows["learnt-codes-16"]["bytes"]
    assert [rows[name]["offered"] for name in ("learnt-16", "learnt-codes-16")] == [True, False]
    head = ["encode-head", str(model), "--encoding", "learnt-16", "--data", str(data)]
    head += ["--images", "12"]
    assert main([*head, "--out", str(tmp_path / "none")]) == 2
    assert "set steps above 0" in capsys.readouterr().err
    assert main([*head, "--steps", "3", "--out", str(tmp_path / "learnt")]) == 0
    onnx.checker.check_model(onnx.load(tmp_path / "learnt" / "model.onnx"))


def test_plan_refuses_what_it_cannot_weigh(data: Path, tmp_path: Path, capsys: Captured) -> None:
    ours = Path(__file__).parents[2] / "recipes" / "teacher" / "latin.safetensors"
    assert main(["plan", str(ours)]) == 3
    assert "a recogniser of ours" in capsys.readouterr().err
    out = tmp_path / "out"
    words = ["encode-head", str(saved(deep(), tmp_path)), "--encoding", "int8", "--data", str(data)]
    assert main([*words, "--images", "12", "--out", str(out)]) == 0
    assert main(["plan", str(out), "--data", str(data)]) == 3
    assert "its head is encoded already" in capsys.readouterr().err


def test_shrink_ends_in_a_smaller_file_that_reads_the_same(
    data: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = saved(deep(), tmp_path)
    words = ["shrink", str(model), "--recipe", str(recipe(tmp_path, data))]
    assert main([*words, "--dry-run", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert [stage["stage"] for stage in planned["stages"]] == [
        "import", "encode-head", "quantise", "drop-in",
    ]  # fmt: skip
    assert main([*words, "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out.splitlines()[-1])
    assert found["run"] == str(Path("runs") / "rec-tiny")
    made = Path(found["model"])
    assert found["bytes"] == made.stat().st_size
    assert found["before"]["accuracy"] == found["after"]["accuracy"] == 1
    assert found["before"]["ignored"]["kinds"] == ["case", "space"]
    last = found["table"][-1]
    assert sum(row["bytes"] for row in last["components"]) == found["bytes"]
    assert {row["name"] for row in last["components"]} == {"backbone", "classifier", "container"}
    head, body = last["techniques"]
    assert head.startswith("Encoded Head (")
    assert body.startswith("Body in ")  # what has few weights keeps 8
    assert "Hamming" not in said.err
    before, after = onnx.load(model), onnx.load(made)
    assert before.graph.input == after.graph.input
    assert before.graph.output == after.graph.output
    page = (Path(found["run"]) / "report.html").read_text(encoding="utf-8")
    assert "Ways to store the head" in page
    assert "Not counted in how lines were read: case, space." in page
    assert main([*words, "--json"]) == 0  # all of it is kept
    again = json.loads(capsys.readouterr().out)
    assert {stage["status"] for stage in again["stages"]} == {"kept"}


def test_shrink_is_told_what_the_file_does_not_say(
    data: Path, tmp_path: Path, capsys: Captured
) -> None:
    proto = deep()
    del proto.metadata_props[:]
    model = saved(proto, tmp_path)
    out = tmp_path / "run"
    words = ["shrink", str(model), "--out", str(out), "--json", "--recipe"]
    words.append(str(recipe(tmp_path, data, encoding="int8")))
    assert main(words) == 3
    assert "name their list with --charset FILE" in capsys.readouterr().err
    lists = tmp_path / "lists.py"
    lists.write_text("A = ['r', 'g', 'b']\nB = ['b', 'g', 'r']\n")
    assert main([*words, "--charset", f"{lists}:B", "--blank", "first"]) == 0
    assert json.loads(capsys.readouterr().out)["before"]["accuracy"] < 0.5
    assert main([*words, "--charset", f"{lists}:A", "--blank", "first"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["before"]["accuracy"] == found["after"]["accuracy"] == 1
    ours = Path(__file__).parents[2] / "recipes" / "teacher" / "latin.safetensors"
    assert main(["shrink", str(ours), "--charset", str(lists), "--dry-run"]) == 2
    assert "has no stage import, to be told charset" in capsys.readouterr().err


def test_what_is_shrunk_chooses_the_recipe(tmp_path: Path, capsys: Captured) -> None:
    model = saved(deep(), tmp_path, "theirs.onnx")
    assert main(["shrink", str(model), "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["recipe"], found["run"]) == ("foreign", str(Path("runs") / "theirs"))
    ours = Path(__file__).parents[2] / "recipes" / "teacher" / "latin.safetensors"
    assert main(["shrink", str(ours), "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == "hamming-ocr"


@pytest.mark.slow
def test_ppocr_v6_small_runs_in_rapidocr_as_it_is_read_here(
    real: Real, tmp_path: Path, capsys: Captured
) -> None:
    from hcompress.data.source import open_data
    from hcompress.lab.bench.rapidocr import has_rapidocr

    if not has_rapidocr():
        pytest.skip("RapidOCR cannot be imported")
    from rapidocr import RapidOCR

    everyday = Path(__file__).parents[2] / "recipes" / "data" / "everyday-test.toml"
    said = {"images": 8, "encoding": "int4", "lines": ""}
    words = ["shrink", str(real("v6-small")), "--out", str(tmp_path / "run"), "--json", "--recipe"]
    assert main([*words, str(recipe(tmp_path, everyday, **said))]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["bytes"] < 3_500_000
    assert found["after"]["accuracy"] >= found["before"]["accuracy"] - 0.25
    source = open_data(everyday)
    images = [source[place].image for place in range(8)]
    mine = [one.text for one in ForeignReader(Path(found["model"])).read(images)]
    peer = RapidOCR(params={"Rec.model_path": found["model"], "Global.log_level": "critical"})
    given = [np.ascontiguousarray(image[:, :, ::-1]) for image in images]
    alone = {"use_det": False, "use_cls": False, "use_rec": True}
    assert mine == ["".join(peer(image, **alone).txts or ()) for image in given]
