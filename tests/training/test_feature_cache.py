"""Lines encoded once: the same loss, every line in turn, the same bits after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hcompress.progress import NoProgress
from hcompress.training.feature_cache import encode_lines
from hcompress.training.line_trainer import step_batches
from hcompress.training.loop import Schedule
from tests.builders import SLIM, SOFTMAX, untrained
from tests.training.tasks import (
    WIDE,
    Killed,
    MemorySource,
    encoded_task,
    killed_after,
    run,
    teacher_and_student,
)


@pytest.mark.parametrize("wide", [False, True])
def test_encoded_lines_have_the_loss_of_their_images(wide: bool) -> None:
    config = WIDE if wide else SOFTMAX
    teacher = untrained(config)
    student = untrained(replace(SLIM, width=config.width, backbone_width=config.backbone_width))
    student.backbone.load_state_dict(teacher.backbone.state_dict())
    trainer, _ = encoded_task(student, teacher, 1)
    lines = encode_lines(trainer, MemorySource(), 4, 0, 0, NoProgress())
    found = lines.loss(trainer, lines.lines)
    batch = next(step_batches(MemorySource(), 4, 1, SLIM.preprocessing, 0, 0, 1, seed=1)(0))
    expected = trainer.loss(trainer, batch)
    assert found.targets == expected.targets
    assert found.total.item() == pytest.approx(expected.total.item(), rel=2e-3)


def test_encoded_lines_take_turns_and_resume_in_the_same_bits(tmp_path: Path) -> None:
    teacher, student = teacher_and_student()
    trainer, task = encoded_task(student, teacher, 10)
    seen = [id(line) for batch in task.batches(0) for line in batch]
    assert len(set(seen[:20])) == len(set(seen[20:])) == 20
    assert seen[:20] != seen[20:]
    assert [id(line) for batch in task.batches(7) for line in batch] == seen[28:]
    schedule = Schedule(10, 4, 1e-2, warmup=2, snapshot_every=3)
    run(task, schedule, tmp_path / "whole")
    broken, task = encoded_task(teacher_and_student()[1], teacher, 10)
    with pytest.raises(Killed):
        run(killed_after(task, 7), schedule, tmp_path / "broken")
    resumed, task = encoded_task(teacher_and_student()[1], teacher, 10)
    run(task, schedule, tmp_path / "broken")
    del broken
    for name, value in trainer.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
