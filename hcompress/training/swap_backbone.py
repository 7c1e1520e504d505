"""Distilling a recogniser into one with another backbone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from hcompress.checkpoints.checkpoint import Checkpoint
from hcompress.compute.device import check_shares, launch, resolve
from hcompress.errors import UsageError
from hcompress.heads.contract import Losses
from hcompress.recognisers.build import build
from hcompress.recognisers.contract import Recogniser
from hcompress.spec.config import BatchNorm, TransformerConfig
from hcompress.spec.refusals import check_before_codes
from hcompress.training.line_phase import train_lines
from hcompress.training.line_trainer import Aim, LineTrainer

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource
    from hcompress.training.options import SwapOptions, Workplace


def new_student(options: SwapOptions, before: Checkpoint, seed: int) -> Recogniser:
    """The recogniser with the new backbone; tensors whose shapes agree are the teacher's."""
    config = before.config
    if not isinstance(config, TransformerConfig):
        raise before.model.inside("swap-backbone")
    inputs = before.model.inputs
    check_before_codes(config)
    if before.model.head.softmax_columns() is None or inputs is None or inputs.table() is None:
        raise UsageError("swap-backbone comes before factorise: give it a whole softmax")
    shape = config.asked(
        backbone=options.family,
        backbone_width=options.backbone_width,
        encoder_depth=0,
        width=options.width,
        ffn_width=options.ffn_width,
    )
    if shape == config:
        raise UsageError("swap-backbone: the recogniser has this backbone already")
    torch.manual_seed(seed)
    untrained = replace(shape, batch_norm=BatchNorm.LIVE, temperature=1.0)
    student = build(untrained, len(before.vocabulary))
    old, new = before.model.state_dict(), student.state_dict()
    kept = {
        name: old[name]
        for name in new
        if not name.startswith("backbone.") and name in old and old[name].shape == new[name].shape
    }
    student.load_state_dict(new | kept)
    return student


def swap_backbone(
    options: SwapOptions,
    before: Checkpoint,
    lines: DataSource | None,
    validation: DataSource | None,
    workplace: Workplace,
) -> tuple[Recogniser, dict[str, Any]]:
    """The student after distillation on ``lines``, and the figures.

    ``lines`` may be None if there are no steps.
    """
    student = new_student(options, before, workplace.seed)
    if not options.steps:
        return student.eval(), {"steps": 0, "trained": False}
    assert lines is not None
    check_shares(batch=options.batch)
    fabric = launch(options.precision, workplace.threads)
    teacher = before.model.requires_grad_(False).to(fabric.device)
    aim = Aim(
        before.vocabulary,
        options.unknown,
        Losses(options.smoothing),
        distil=options.distil,
        slim_routes=options.slim_routes,
    )
    trainer = LineTrainer(student, teacher, aim)
    model, figures = train_lines(
        "swap-backbone", options, lines, validation, trainer, fabric, workplace
    )
    return model, {"precision": resolve(options.precision).value, "trained": True, **figures}
