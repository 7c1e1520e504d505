"""Training alone and under torchrun; test_torchrun.py has the codebook and errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from hcompress.recogniser.checkpoint import load_checkpoint
from tests.models import CHARACTERS, noise

pytestmark = pytest.mark.slow

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
SMALL = (
    "--backbone-width=0.25",
    "--width=32",
    "--ffn-width=64",
    "--heads=4",
    "--max-steps=9",
)


def hcompress(*arguments: str, processes: int = 1) -> str:
    """Run the program; what it said on stderr."""
    launcher = TORCHRUN if processes > 1 else (sys.executable,)
    done = subprocess.run(
        [*launcher, "-m", "hcompress", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A label file of 40 noise images, and the charset beside it."""
    folder = tmp_path_factory.mktemp("data")
    lines = []
    for index, image in enumerate(noise(40)):
        Image.fromarray(image).save(folder / f"{index}.png")
        lines.append(f"{index}.png\t{CHARACTERS.characters[index % 18] * (1 + index % 5)}")
    (folder / "labels.tsv").write_text("\n".join(lines), encoding="utf-8")
    (folder / "charset.txt").write_text("".join(CHARACTERS.characters), encoding="utf-8")
    return folder / "labels.tsv"


def test_training_on_two_processes_follows_one(labels: Path, tmp_path: Path) -> None:
    """Within tolerance: batch normalisation sees half a batch on each of two processes."""
    charset = str(labels.with_name("charset.txt"))
    losses = []
    for processes in (1, 2):
        out = tmp_path / f"trained{processes}"
        hcompress(
            "train",
            f"--data={labels}",
            f"--validation={labels}",
            f"--charset={charset}",
            *SMALL,
            "--steps=8",
            "--batch=16",
            "--validate-every=2",
            "--validation-images=8",
            f"--out={out}",
            processes=processes,
        )
        report = json.loads((out / "manifest.json").read_text())["report"]["lines"]
        assert report["processes"] == processes
        assert report["images"] == 8 * 16
        losses.append([point["loss"] for point in report["curve"]])
        assert load_checkpoint(out).vocabulary == CHARACTERS
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
