"""Small trainings on lines in memory, and what strikes them down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hcompress.charset import UnknownCharacter
from hcompress.checkpoints.checkpoint import Checkpoint
from hcompress.compute.device import launch
from hcompress.compute.precision import Precision
from hcompress.data.sample import DataSource, Sample
from hcompress.progress import NoProgress, Progress
from hcompress.recognisers.contract import Recogniser
from hcompress.spec.header import Provenance
from hcompress.stages.finetune import Finetune
from hcompress.training.feature_cache import encode_lines
from hcompress.training.finetune import finetune, load_teacher
from hcompress.training.line_trainer import Aim, LineTrainer, step_batches
from hcompress.training.loop import Schedule, Task, train
from hcompress.training.options import Workplace
from tests.builders import CHARACTERS, SLIM, SOFTMAX, noise, untrained

REFUSE = UnknownCharacter.REFUSE
NOTHING = NoProgress()
TOLD = Provenance("train", "ab" * 32)
WIDE = replace(SOFTMAX, width=64)
"""Wider than what the backbone's last convolution takes."""


class MemorySource:
    """Noise images with random texts."""

    digest = "0" * 64

    dealt: ClassVar[bool] = True

    def __init__(self, count: int = 24, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.images = noise(count, seed)
        letters = CHARACTERS.characters
        self.texts = [
            "".join(letters[i] for i in rng.integers(0, len(letters), rng.integers(1, 6)))
            for _ in range(count)
        ]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.images[index], self.texts[index])


def some_too_long(many: int) -> MemorySource:
    source = MemorySource()
    source.texts[:many] = ["a" * SOFTMAX.max_steps] * many
    return source


def finetuned(
    stage: Finetune,
    before: Checkpoint,
    folder: Path,
    *,
    teacher: Path | None = None,
    lines: DataSource | None = None,
    progress: Progress = NOTHING,
) -> tuple[Recogniser, dict[str, Any]]:
    """As the stage does it, on lines of its own."""
    told = load_teacher(stage, before, teacher)
    workplace = Workplace(7, 1, progress, folder)
    return finetune(stage, before, told, lines or MemorySource(), None, workplace)


def line_task(trainer: LineTrainer, steps: int, **more: object) -> Task:
    feed = step_batches(
        MemorySource(), 4, steps, trainer.student.config.preprocessing, 0, 0, 1, seed=1
    )
    return Task("lines", trainer, trainer.loss, feed, **more)  # type: ignore[arg-type]


def encoded_task(model: Recogniser, teacher: Recogniser, steps: int) -> tuple[LineTrainer, Task]:
    aim = Aim(CHARACTERS, REFUSE, distil=1.0, distil_layers=0.5)
    trainer = LineTrainer(model, teacher, aim, encode_once=True, frozen_backbone=True)
    lines = encode_lines(trainer, MemorySource(), 20, 0, 3, NoProgress())
    task = Task("lines", trainer, lines.loss, lines.batches(4, steps, 0, 1), freeze=("student.ba",))
    return trainer, task


def teacher_and_student() -> tuple[Recogniser, Recogniser]:
    teacher, student = untrained(SOFTMAX), untrained(SLIM)
    student.backbone.load_state_dict(teacher.backbone.state_dict())
    return teacher, student


def run(task: Task, schedule: Schedule, folder: Path) -> None:
    fabric = launch(Precision.FP32, 1, accelerator="cpu")
    train(task, schedule, fabric, folder / "lines.safetensors", NoProgress())


class Killed(Exception):
    pass


class Killer(NoProgress):
    """Strikes at a report of progress."""

    def __init__(self, at: int) -> None:
        self.left = at

    def advance(self, count: int = 1, note: str = "") -> None:  # noqa: ARG002
        self.left -= 1
        if not self.left:
            raise Killed


def killed_after(task: Task, steps: int) -> Task:
    """The same task, struck down while it fetches a later batch."""

    def feed(start: int) -> Iterator[Any]:
        for number, batch in enumerate(task.batches(start)):
            if start + number >= steps:
                raise Killed
            yield batch

    return replace(task, batches=feed)
