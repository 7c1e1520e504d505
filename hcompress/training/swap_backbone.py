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
from hcompress.training.line_phase import train_lines
from hcompress.training.line_trainer import Aim, LineTrainer

if TYPE_CHECKING:
    from hcompress.stages.base import Env
    from hcompress.stages.swap_backbone import SwapBackbone


def new_student(stage: SwapBackbone, before: Checkpoint, seed: int) -> Recogniser:
    """The recogniser with the new backbone; tensors whose shapes agree are the teacher's."""
    config = before.config
    if not isinstance(config, TransformerConfig):
        raise before.model.inside("swap-backbone")
    inputs = before.model.inputs
    if config.uses_codes:
        raise UsageError("swap-backbone comes before replace-head: give it a softmax recogniser")
    if before.model.head.softmax_columns() is None or inputs is None or inputs.table() is None:
        raise UsageError("swap-backbone comes before factorise: give it a whole softmax")
    shape = config.asked(
        backbone=stage.family,
        backbone_width=stage.backbone_width,
        width=stage.width,
        ffn_width=stage.ffn_width,
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
    stage: SwapBackbone, before: Checkpoint, env: Env
) -> tuple[Recogniser, dict[str, Any]]:
    """The student after distillation, and the figures."""
    student = new_student(stage, before, env.seed)
    if not stage.steps:
        return student.eval(), {"steps": 0, "trained": False}
    if stage.data is None:
        raise UsageError("swap-backbone: steps > 0 needs data; or set steps = 0")
    check_shares(batch=stage.batch)
    fabric = launch(stage.precision, env.threads)
    teacher = before.model.requires_grad_(False).to(fabric.device)
    aim = Aim(
        before.vocabulary,
        stage.unknown,
        Losses(stage.smoothing),
        distil=stage.distil,
        slim_routes=stage.slim_routes,
    )
    trainer = LineTrainer(student, teacher, aim)
    model, figures = train_lines("swap-backbone", stage, stage.data, trainer, fabric, env)
    return model, {"precision": resolve(stage.precision).value, "trained": True, **figures}
