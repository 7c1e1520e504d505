"""The same command on one process and under torchrun: the same bytes, one voice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hcompress.checkpoints.checkpoint import MODEL_FILE
from hcompress.runs.runner import StageOptions, run_stage
from hcompress.stages.initialise import Initialise
from tests import ROOT
from tests.builders import LIGHT, recogniser
from tests.codes.test_extend import lines, saved
from tests.compress.test_factorise import texts_of
from tests.runs.test_resume_stages import write_inputs

TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "hcompress"]
ONE = ["-m", "hcompress"]


def run(launcher: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *launcher, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("method", ["lsh", "whitened"])
def test_the_codebook_is_the_same_on_one_process_and_two(tmp_path: Path, method: str) -> None:
    write_inputs(tmp_path)
    shape = Initialise(
        charset=tmp_path / "charset.txt", backbone_width=0.05, width=8, ffn_width=8, heads=2
    )
    teacher = run_stage(shape, None, tmp_path / "teacher", StageOptions())
    command = [
        "codebook", str(teacher.path), "--data", str(tmp_path / "lines.txt"), "--images", "7",
        "--batch", "2", "--code-length", "16", "--workers", "0", "--method", method,
    ]  # fmt: skip
    alone = run(ONE, *command, "--out", str(tmp_path / "one"))
    assert alone.returncode == 0, alone.stderr
    both = run(TWO, *command, "--out", str(tmp_path / "two"))
    assert both.returncode == 0, both.stderr
    for name in ("model.safetensors", "codebook.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert both.stdout == f"{tmp_path / 'two' / 'model.safetensors'}\n", "one process prints"
    assert "codebook: process 0 of 1: 7 images" in alone.stderr
    said = [line for line in both.stderr.splitlines() if line.startswith("codebook: process")]
    assert said == [
        "codebook: process 0 of 2: 4 images",
        "codebook: process 1 of 2: 3 images",
    ]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "one", "teacher", "two",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_error_under_torchrun_names_the_process(tmp_path: Path) -> None:
    both = run(TWO, "half", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out"))
    assert both.returncode != 0
    # torchrun ends the others as soon as one has failed, so that either may be the one that speaks.
    assert re.search(r"^rank [01]: error: .*nowhere: no such file or folder$", both.stderr, re.M)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_codes_move_to_the_same_bytes_on_one_process_and_two(tmp_path: Path) -> None:
    made = recogniser(LIGHT)
    source = saved(tmp_path / "model", made)
    data = lines(tmp_path / "d", texts_of(made, 7), made.config)
    command = ["recode", str(source / MODEL_FILE), "--data", str(data), "--batch", "2"]
    for launcher, name in ((ONE, "one"), (TWO, "two")):
        done = run(launcher, *command, "--workers", "0", "--out", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
    written = [(tmp_path / name / MODEL_FILE).read_bytes() for name in ("one", "two")]
    assert written[0] == written[1]
    assert "recode: process 1 of 2: 3 images" in done.stderr
