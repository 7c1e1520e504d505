"""What runs on a GPU: training, going on after a kill, single characters, reading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hcompress.checkpoints.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from hcompress.compute.device import launch
from hcompress.compute.precision import Precision
from hcompress.evaluation.torch_reader import TorchReader
from hcompress.progress import NoProgress
from hcompress.recognisers.contract import Recogniser
from hcompress.spec.header import Provenance
from hcompress.training.line_trainer import Aim, LineTrainer
from hcompress.training.loop import Schedule, train
from tests.builders import CHARACTERS, SOFTMAX, noise, untrained
from tests.training.tasks import REFUSE, Killed, killed_after, line_task
from tests.training.test_character_phase import learnt, stage
from tests.training.test_processes import distance

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]


def test_a_resumed_run_ends_where_a_whole_one_does(tmp_path: Path) -> None:
    def after(folder: str, kill_at: int | None = None) -> Recogniser:
        trainer = LineTrainer(untrained(SOFTMAX), None, Aim(CHARACTERS, REFUSE))
        task = line_task(trainer, 4, matrices=("student.decoder.",))
        fabric = launch(Precision.FP32, 1)
        assert fabric.device.type == "cuda"
        schedule = Schedule(4, 4, 1e-3, 1e-2, snapshot_every=2)
        task = task if kill_at is None else killed_after(task, kill_at)
        train(task, schedule, fabric, tmp_path / folder / "lines.safetensors", NoProgress())
        return trainer.student.cpu()

    whole = after("whole")
    with pytest.raises(Killed):
        after("broken", kill_at=3)
    # Its sums come in no fixed order.
    assert distance(whole, after("broken")) < 0.1 * distance(whole, untrained(SOFTMAX))


def test_single_characters_are_handed_over_and_lines_follow(tmp_path: Path) -> None:
    model, vocabulary, report = learnt(stage(tmp_path), tmp_path / "scratch", NoProgress())
    assert report["lines"]["device"].startswith("cuda")
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    save_checkpoint(tmp_path / "model.safetensors", model, vocabulary, Provenance("train", None))
    assert load_checkpoint(tmp_path / "model.safetensors").vocabulary == vocabulary


def test_a_checkpoint_reads_there_what_it_reads_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    model = untrained(replace(SOFTMAX, temperature=1.5))
    images = noise(8)
    reader = TorchReader(Checkpoint(model, CHARACTERS, Provenance("train", None)))
    ids, chances = reader.decode(images)
    there = model.cuda().read(torch.from_numpy(images).cuda())
    # Of the first step: after a near tie the rest may be another text.
    assert (there.ids[:, 0, 0].cpu().numpy() == ids[:, 0, 0]).sum() >= 7
    assert there.probabilities[:, 0, 0].cpu().numpy() == pytest.approx(chances[:, 0, 0], abs=0.01)
