"""The gate on recognisers from elsewhere: bytes by part, accuracy on labels and on an LMDB."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hcompress.cli import main
from hcompress.data.source import open_data
from hcompress.data.synth import write_lmdb
from hcompress.errors import EnvironmentFailed
from hcompress.progress import NoProgress
from tests.foreign.builders import deep, recogniser, saved, striped

Captured = pytest.CaptureFixture[str]
LIMITS = """
schema_version = 1
baseline = "baseline.json"

[[artifacts]]
path = "rec.onnx"
max_bytes = 5_000

[artifacts.components.classifier]
max_bytes = {classifier}

[artifacts.accuracy]
evaluation = "rec.json"
min_accuracy = 0.9
max_accuracy_drop = 1.0
wide_interval = "pass"

[[artifacts]]
path = "made"
max_growth_percent = 1.0

[artifacts.accuracy]
evaluation = "made.json"
min_accuracy = 0.9
max_accuracy_drop = 1.0
wide_interval = "pass"
min_images = 6
"""
CLASSIFIER = 4 * (16 * 4 + 4)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A vendor's file, judged on a label file, and what was made of it, judged on an LMDB."""
    from hcompress.foreign import check

    def none(_spec: object) -> list[Any]:
        raise EnvironmentFailed("no fonts")

    monkeypatch.setattr(check, "_samples", none)
    monkeypatch.chdir(tmp_path)
    saved(deep(), tmp_path)
    striped(tmp_path, 8)
    write_lmdb(open_data(Path("labels.tsv")), Path("lmdb"), 0, NoProgress(), count=6)
    assert main(["import", "rec.onnx", "--out", "made"]) == 0
    (tmp_path / "limits.toml").write_text(LIMITS.format(classifier=CLASSIFIER))
    return tmp_path


def evaluated(capsys: Captured, *more: str) -> None:
    for model, data in (("rec.onnx", "labels.tsv"), ("made", "lmdb")):
        capsys.readouterr()
        assert main(["eval", model, data, "--json", *more]) == 0
        Path(model).with_suffix(".json").write_text(capsys.readouterr().out)


def gated(capsys: Captured, *more: str) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    capsys.readouterr()
    code = main(["gate", "limits.toml", "--json", *more])
    rows = json.loads(capsys.readouterr().out)["rows"]
    return code, {(row["artifact"], row["subject"]): row for row in rows}


def test_sizes_and_accuracies_on_labels_and_on_an_lmdb(project: Path, capsys: Captured) -> None:
    evaluated(capsys)
    code, rows = gated(capsys, "--update", "--reason", "first")
    assert code == 0
    assert rows["rec.onnx", "classifier"]["value"] == CLASSIFIER
    assert rows["made", "total"]["value"] == (project / "made" / "model.onnx").stat().st_size
    for name in ("rec.onnx", "made"):
        parts = [row["value"] for (path, what), row in rows.items()
                 if path == name and what not in ("total", "accuracy")]  # fmt: skip
        assert sum(parts) == rows[name, "total"]["value"]
        assert rows[name, "accuracy"]["value"] == 1
    held = json.loads((project / "baseline.json").read_text())["artifacts"]
    assert (held["rec.onnx"]["images"], held["made"]["images"]) == (8, 6)
    assert gated(capsys)[0] == 0
    (project / "limits.toml").write_text(LIMITS.format(classifier=CLASSIFIER - 1))
    code, rows = gated(capsys)
    assert (code, rows["rec.onnx", "classifier"]["status"]) == (1, "fail")


def test_an_evaluation_of_another_file_or_by_other_rules_fails(
    project: Path, capsys: Captured
) -> None:
    evaluated(capsys)
    assert gated(capsys, "--update", "--reason", "first")[0] == 0
    exact = (project / "made.json").read_text()
    evaluated(capsys, "--ignore-case")
    code, rows = gated(capsys)
    assert code == 1
    assert (
        "other things ignored than the baseline (case, then nothing)"
        in (rows["made", "accuracy"]["note"])
    )
    assert gated(capsys, "--update", "--reason", "case does not matter")[0] == 0
    assert gated(capsys)[1]["made", "accuracy"]["note"].endswith("not counted: case")
    (project / "rec.json").write_text(exact)
    assert "is not of this model" in gated(capsys)[1]["rec.onnx", "accuracy"]["note"]


def test_a_damaged_file_fails_and_says_why(project: Path, capsys: Captured) -> None:
    evaluated(capsys)
    assert gated(capsys, "--update", "--reason", "first")[0] == 0
    file = project / "rec.onnx"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    code, rows = gated(capsys)
    assert (code, rows["rec.onnx", "total"]["status"]) == (1, "fail")
    assert rows["rec.onnx", "accuracy"]["status"] == "fail"
    # It parses, and its parts can't be told: what was limited is not there.
    broken = deep()
    broken.graph.node[0].name = "v@"
    file.write_bytes(broken.SerializeToString().replace(b"v@", b"v\xb8"))
    code, rows = gated(capsys)
    assert (code, rows["rec.onnx", "classifier"]["note"]) == (1, "component is missing")


def test_another_list_beside_it_is_another_reading(project: Path, capsys: Captured) -> None:
    """What the classes are called is no part of the file, and all of what is read."""
    saved(recogniser(metadata=None), project)
    listed = project / "my_dict.txt"
    listed.write_text("r\ng\nb\n")
    evaluated(capsys)
    assert gated(capsys, "--update", "--reason", "first")[0] == 0
    listed.write_text("b\ng\nr\n")
    code, rows = gated(capsys)
    assert (code, rows["rec.onnx", "accuracy"]["status"]) == (1, "fail")
    assert "the lists beside the model" in rows["rec.onnx", "accuracy"]["note"]
