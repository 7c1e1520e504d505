"""Training the softmax recogniser: single characters, then lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from hcompress.data.source import open_data
from hcompress.recogniser.model import Recogniser
from hcompress.recogniser.vocabulary import Vocabulary, read_charset
from hcompress.training.device import launch, resolve
from hcompress.training.glyphs import GlyphTrainer
from hcompress.training.lines import (
    Aim,
    LineTrainer,
    glyph_preprocessing,
    snapshot_file,
    step_batches,
)
from hcompress.training.loop import Schedule, Task, train
from hcompress.training.run import train_lines

if TYPE_CHECKING:
    from pathlib import Path

    from lightning_fabric import Fabric

    from hcompress.stages.base import Env
    from hcompress.stages.train import Train


def train_teacher(stage: Train, env: Env) -> tuple[Recogniser, Vocabulary, dict[str, Any]]:
    """The trained recogniser, its characters, and the figures of both phases."""
    vocabulary = read_charset(stage.charset)
    fabric = launch(stage.precision, env.threads)
    torch.manual_seed(env.seed)
    model = Recogniser(stage.config(), len(vocabulary))
    report: dict[str, Any] = {"precision": resolve(stage.precision).value}
    if stage.glyphs is not None and stage.glyph_steps:
        report["glyphs"] = _glyph_phase(stage, stage.glyphs, env, fabric, model, vocabulary)
    aim = Aim(vocabulary, stage.unknown, smoothing=stage.smoothing, slim_routes=stage.slim_routes)
    trainer = LineTrainer(model, None, aim)
    model, report["lines"] = train_lines("lines", stage, stage.data, trainer, fabric, env)
    return model, vocabulary, report


def _glyph_phase(
    stage: Train, glyphs: Path, env: Env, fabric: Fabric, model: Recogniser, vocabulary: Vocabulary
) -> dict[str, Any]:
    trainer = GlyphTrainer(model, vocabulary)
    schedule = Schedule(
        stage.glyph_steps,
        stage.glyph_batch,
        stage.glyph_learning_rate,
        snapshot_every=stage.snapshot_every,
    )
    feed = step_batches(
        open_data(glyphs),
        schedule.batch_size,
        schedule.steps,
        glyph_preprocessing(model.config.preprocessing, stage.glyph_width),
        stage.workers,
        fabric.global_rank,
        fabric.world_size,
    )
    task = Task("glyphs", trainer, trainer.loss, feed)
    state = train(task, schedule, fabric, snapshot_file(env.scratch, "glyphs"), env.progress)
    trainer.hand_over()
    return {"steps": state.step, "images": state.step * schedule.batch_size}
