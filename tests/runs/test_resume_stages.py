"""`kill -9` in the real stages, tiny: training, codes, fine-tuning, FP16 and the ONNX export."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.runs.test_resume import check, harness

RECIPE = """
schema_version = 1
name = "tiny"
seed = 5
threads = 1

[evaluate]
data = "lines.txt"
images = 4

[[stages]]
stage = "train"
data = "lines.txt"
charset = "charset.txt"
validation = "lines.txt"
width = 8
ffn_width = 8
heads = 2
depth = 2
max_steps = 6
backbone_width = 0.05
glyph_steps = 0
steps = 6
batch = 4
snapshot_every = 2
validate_every = 3
validation_images = 4
precision = "fp32"
workers = 0

[[stages]]
stage = "codebook"
data = "lines.txt"
images = 8
batch = 4
code_length = 16
workers = 0

[[stages]]
stage = "replace-head"

[[stages]]
stage = "slim-decoder"

[[stages]]
stage = "finetune"
data = "lines.txt"
validation = "lines.txt"
steps = 6
batch = 4
snapshot_every = 2
validate_every = 3
validation_images = 4
precision = "fp32"
workers = 0

[[stages]]
stage = "half"

[[stages]]
stage = "onnx"
images = 2
"""
CHARACTERS = "abcd"


def write_inputs(folder: Path) -> Path:
    """The recipe, its charset, and eight labelled images of noise."""
    chance = random.Random(7)
    lines = []
    for number in range(8):
        name = f"{number}.ppm"
        (folder / name).write_bytes(b"P6 160 48 255\n" + chance.randbytes(160 * 48 * 3))
        lines.append(f"{name}\t{''.join(chance.choices(CHARACTERS, k=3))}\n")
    (folder / "lines.txt").write_text("".join(lines), encoding="utf-8")
    (folder / "charset.txt").write_text(CHARACTERS, encoding="utf-8")
    path = folder / "tiny.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_anywhere_in_the_real_stages(tmp_path: Path) -> None:
    recipe = write_inputs(tmp_path)
    answer = harness(tmp_path, ["shrink", "--recipe", str(recipe), "--out", "{out}"], points=24)
    check(answer)
    assert len(answer["trials"]) >= 20
    kept = [len(trial["kept"]) for trial in answer["trials"]]
    assert min(kept) == 0
    assert max(kept) == 7
    assert any("snapshot" in trial["resumed"]["log"] for trial in answer["trials"])
