"""Training alone and under torchrun; test_torchrun.py has the codebook and errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from hcompress.charset import UnknownCharacter
from hcompress.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from hcompress.data.source import open_data
from hcompress.recognisers.contract import Recogniser
from hcompress.spec.header import Provenance
from hcompress.training.line_trainer import Aim, LineTrainer, step_batches
from tests.builders import CHARACTERS, SOFTMAX, noise, untrained

pytestmark = pytest.mark.slow

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
TOLERANCE = 0.002


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
    """A label file of 40 noise images, one of whose labels is too long."""
    folder = tmp_path_factory.mktemp("data")
    lines = []
    for index, image in enumerate(noise(40)):
        Image.fromarray(image).save(folder / f"{index}.png")
        length = SOFTMAX.max_steps if index == 7 else 1 + index % 5
        lines.append(f"{index}.png\t{CHARACTERS.characters[index % 18] * length}")
    (folder / "labels.tsv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "labels.tsv"


def test_training_on_two_processes_follows_one(labels: Path, tmp_path: Path) -> None:
    """The backbone is frozen: batch normalisation would see half a batch on each of two."""
    before, path = untrained(SOFTMAX), tmp_path / "model.safetensors"
    save_checkpoint(path, before, CHARACTERS, Provenance("train", None))
    made, left_out = [], []
    for processes in (1, 2):
        out = tmp_path / f"tuned{processes}"
        hcompress(
            "finetune",
            str(path),
            f"--data={labels}",
            f"--validation={labels}",
            "--distil=0",
            "--steps=8",
            "--batch=16",
            "--learning-rate=1e-2",
            "--validate-every=2",
            "--validation-images=8",
            "--precision=fp32",
            f"--out={out}",
            processes=processes,
        )
        report = json.loads((out / "manifest.json").read_text())["report"]
        assert report["processes"] == processes
        assert report["images"] == 8 * 16
        left_out.append(report["lines_left_out"])
        made.append(load_checkpoint(out).model)
    assert left_out[0] == left_out[1] > 0  # in an order by chance, but the same one
    moved, apart = distance(before, made[0]), distance(*made)
    assert apart < TOLERANCE * moved
    first, last, other = (loss_of(model, labels) for model in (before, *made))
    assert other == pytest.approx(last, rel=TOLERANCE)
    assert last < (1 - 10 * TOLERANCE) * first


def distance(one: Recogniser, other: Recogniser) -> float:
    """Between their parameters, but for the keys' biases: these add the same to every place's
    score, so that their gradient is rounding alone, and AdamW makes whole steps of it."""
    others = dict(other.named_parameters())
    return sum(
        float((value - others[name]).detach().square().sum())
        for name, value in one.named_parameters()
        if not name.endswith("key.bias")
    ) ** 0.5  # fmt: skip


def loss_of(model: Recogniser, labels: Path) -> float:
    """Of all lines."""
    trainer = LineTrainer(model, None, Aim(CHARACTERS, UnknownCharacter.REFUSE)).eval()
    source, size = open_data(labels), model.config.preprocessing
    batch = next(step_batches(source, len(source), 1, size, 0, 0, 1, seed=1)(0))
    return trainer.loss(trainer, batch).total.item()
