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
    line_accuracy,
    snapshot_file,
    step_batches,
)
from hcompress.training.loop import Schedule, Task, train

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from hcompress.stages.base import Env
    from hcompress.stages.train import Train


def train_teacher(stage: Train, env: Env) -> tuple[Recogniser, Vocabulary, dict[str, Any]]:
    """The trained recogniser, its characters, and the figures of both phases."""
    vocabulary = read_charset(stage.charset)
    fabric = launch(stage.precision, env.threads)
    torch.manual_seed(env.seed)
    model = Recogniser(stage.config(), len(vocabulary)).to(memory_format=torch.channels_last)
    report: dict[str, Any] = {
        "precision": resolve(stage.precision).value,
        "processes": fabric.world_size,
    }
    if stage.glyphs is not None and stage.glyph_steps:
        report["glyphs"] = _glyph_phase(stage, env, fabric, model, vocabulary)
    report["lines"] = _line_phase(stage, env, fabric, model, vocabulary)
    return model.cpu().eval(), vocabulary, report


def _glyph_phase(
    stage: Train, env: Env, fabric: Fabric, model: Recogniser, vocabulary: Vocabulary
) -> dict[str, Any]:
    assert stage.glyphs is not None
    trainer = GlyphTrainer(model, vocabulary)
    schedule = Schedule(
        stage.glyph_steps,
        stage.glyph_batch,
        stage.glyph_learning_rate,
        snapshot_every=stage.snapshot_every,
    )
    feed = step_batches(
        open_data(stage.glyphs),
        schedule.batch_size,
        schedule.steps,
        glyph_preprocessing(model.config.preprocessing),
        stage.workers,
        fabric.global_rank,
        fabric.world_size,
    )
    task = Task("glyphs", trainer, trainer.loss, feed)
    state = train(task, schedule, fabric, snapshot_file(env.scratch, "glyphs"), env.progress)
    trainer.hand_over()
    return {"steps": state.step, "images": state.step * schedule.batch_size}


def _line_phase(
    stage: Train, env: Env, fabric: Fabric, model: Recogniser, vocabulary: Vocabulary
) -> dict[str, Any]:
    aim = Aim(vocabulary, stage.unknown, smoothing=stage.smoothing)
    trainer = LineTrainer(model, None, aim, share_memory=False)
    schedule = Schedule(
        stage.steps,
        stage.batch,
        stage.learning_rate,
        validate_every=stage.validate_every if stage.validation is not None else 0,
        patience=stage.patience,
        snapshot_every=stage.snapshot_every,
    )
    feed = step_batches(
        open_data(stage.data),
        schedule.batch_size,
        schedule.steps,
        model.config.preprocessing,
        stage.workers,
        fabric.global_rank,
        fabric.world_size,
    )
    validation = open_data(stage.validation) if stage.validation is not None else None

    def validate(_: torch.nn.Module) -> float:
        assert validation is not None
        return line_accuracy(model, vocabulary, validation, stage.validation_images, stage.batch)

    task = Task(
        "lines", trainer, trainer.loss, feed, validate if validation is not None else None
    )
    state = train(task, schedule, fabric, snapshot_file(env.scratch, "lines"), env.progress)
    return {
        "steps": state.step,
        "images": state.step * schedule.batch_size,
        "best_step": state.best_step,
        "curve": state.curve,
    }
