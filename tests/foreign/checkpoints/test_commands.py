"""A checkpoint from the command line: each command that takes a foreign ONNX file takes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hcompress.cli import main
from hcompress.errors import InputRefused
from tests.foreign.checkpoints import nets

CHARACTERS = "abcdefgh"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    module = nets.lively(nets.Khmer(len(CHARACTERS) + 1))
    with torch.no_grad():
        module.fc.weight.mul_(30)  # type: ignore[union-attr,operator]
    numbers = {one: place for place, one in enumerate(CHARACTERS, 1)}
    path = tmp_path / "m.pth"
    torch.save({"state": module.state_dict(), "char2idx": numbers}, path)
    return path


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    for place in range(6):
        size = (30, 60 + 20 * place, 3)
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(tmp_path / f"{place}.png")
    path = tmp_path / "labels.tsv"
    path.write_text("".join(f"{place}.png\tabc\n" for place in range(6)))
    return path


def test_from_a_checkpoint_to_a_file_in_few_bits(
    model: Path, lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = (
        ["import", str(model), "--out", str(tmp_path / "a"), "--json"],
        ["quantise", str(tmp_path / "a"), "--out", str(tmp_path / "b"), "--data", str(lines),
         "--bits", "6", "--images", "6"],
        ["drop-in", str(tmp_path / "b"), "--out", str(tmp_path / "c"), "--data", str(lines),
         "--teacher", str(model)],
    )  # fmt: skip
    for words in steps:
        assert main(words) == 0, (words, capsys.readouterr().err)
    assert '"preprocessing": "khmer-ocr-ocm"' in capsys.readouterr().out
    assert (tmp_path / "c" / "model.onnx").stat().st_size < model.stat().st_size
    compared = ["compare", str(model), str(tmp_path / "c"), "--data", str(lines), "--json"]
    assert main(compared) == 0, capsys.readouterr().err
    assert json.loads(capsys.readouterr().out)["reading"]["kept"]["frames_kept"]["share"] > 0.8


def test_inspect_read_and_eval_take_it_as_it_is(
    model: Path, lines: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(model)]) == 0
    told = capsys.readouterr()
    assert "checkpoint: khmer-ocr-ocm" in told.err
    assert "classifier" in told.out
    assert main(["read", str(model), str(lines.parent / "0.png")]) == 0
    assert main(["eval", str(model), str(lines)]) == 0


def test_a_dry_run_of_shrink_foretells_it(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["shrink", str(model), "--recipe", "foreign-small", "--out", str(tmp_path / "run")]
    assert main([*words, "--dry-run"]) == 0, capsys.readouterr().err
    assert main([*words, "--dry-run", "--arch", "easyocr-g2"]) == InputRefused.exit_code
    assert "no easyocr-g2: has no tensor" in capsys.readouterr().err


def test_a_stage_that_needs_the_inside_says_so(
    model: Path, lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["finetune", str(model), "--data", str(lines), "--out", str(tmp_path / "x")]
    assert main(words) == InputRefused.exit_code
    assert "error: " in capsys.readouterr().err
