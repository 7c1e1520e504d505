"""A study in the real stages, tiny: codes, fine-tuning and ONNX, two variants and two seeds."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from hcompress.checkpoints.checkpoint import save_checkpoint
from hcompress.cli import main
from hcompress.spec.header import Provenance
from tests.builders import SMALL, recogniser
from tests.runs.test_resume import check, harness

RECIPE = """
schema_version = 1
name = "tiny"
threads = 1

[[stages]]
stage = "codebook"
data = "lines.txt"
images = 6
batch = 3
code_length = 16
workers = 0

[[stages]]
stage = "replace-head"

[[stages]]
stage = "finetune"
data = "lines.txt"
steps = 2
batch = 3
validate_every = 0
precision = "fp32"
workers = 0

[[stages]]
stage = "half"

[[stages]]
stage = "onnx"
images = 2
"""
STUDY = """
schema_version = 1
name = "tiny"
recipe = "recipe.toml"
teacher = "model.safetensors"
seeds = [1, 2]

[tests.known]
data = "lines.txt"

[[variants]]
name = "trained"

[[variants]]
name = "as-cut"
without = ["finetune"]
"""


def write_study(folder: Path) -> Path:
    """The study, its recipe and teacher, and six labelled images of noise."""
    chance = random.Random(7)
    teacher = recogniser(SMALL)
    save_checkpoint(
        folder / "model.safetensors", teacher.model, teacher.vocabulary, Provenance("train", None)
    )
    labels = []
    for number in range(6):
        name = f"{number}.ppm"
        (folder / name).write_bytes(b"P6 32 16 255\n" + chance.randbytes(32 * 16 * 3))
        labels.append(f"{name}\t{chr(0x4E00 + number)}{chr(0x4E06 + number)}\n")
    (folder / "lines.txt").write_text("".join(labels), encoding="utf-8")
    (folder / "recipe.toml").write_text(RECIPE)
    path = folder / "study.toml"
    path.write_text(STUDY)
    return path


@pytest.mark.slow
def test_a_study_in_the_real_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["study", str(write_study(tmp_path)), "--out", str(tmp_path / "out"), "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    trained, cut = found["variants"]
    assert [entry["images_trained"] for entry in (trained, cut)] == [6, 0]
    assert trained["bytes"] < found["teacher"]["bytes"]
    assert found["tests"]["known"]["images"] == 6
    shared = [tmp_path / "out" / name / "02-replace-head" for name in ("trained-1", "as-cut-1")]
    assert (shared[0] / "manifest.json").samefile(shared[1] / "manifest.json")
    assert (tmp_path / "out" / "trained-2" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_anywhere_in_a_study(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    answer = harness(tmp_path, ["study", str(study), "--out", "{out}"], points=8)
    check(answer)
    assert len(answer["trials"]) == 8
    kept = [len(trial["kept"]) for trial in answer["trials"]]
    assert (min(kept), max(kept)) == (0, 18)
    assert any("shared with" in trial["resumed"]["log"] for trial in answer["trials"])
    tables = {(tmp_path / path / "study.md").read_text() for path in ("whole", "first")}
    assert len({re.sub(r"\d+:\d\d", "", table) for table in tables}) == 1
