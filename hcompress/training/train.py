"""Training the softmax recogniser: single characters, then lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from hcompress.charset import read_charset
from hcompress.compute.device import check_shares, launch, resolve
from hcompress.heads.contract import Losses
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.transformer.model import Transformer
from hcompress.spec.vocabulary import Vocabulary
from hcompress.training.character_phase import train_glyphs
from hcompress.training.line_phase import train_lines
from hcompress.training.line_trainer import Aim, LineTrainer

if TYPE_CHECKING:
    from hcompress.stages.base import Env
    from hcompress.stages.train import Train


def train_teacher(stage: Train, env: Env) -> tuple[Recogniser, Vocabulary, dict[str, Any]]:
    """The trained recogniser, its characters, and the figures of both phases."""
    check_shares(batch=stage.batch)
    vocabulary = Vocabulary(read_charset(stage.charset))
    fabric = launch(stage.precision, env.threads)
    torch.manual_seed(env.seed)
    started = Transformer(stage.config(), len(vocabulary))
    report: dict[str, Any] = {"precision": resolve(stage.precision).value}
    if stage.glyphs is not None and (stage.glyph_steps or stage.glyph_first):
        report["glyphs"] = train_glyphs(stage, stage.glyphs, env, fabric, started, vocabulary)
    aim = Aim(vocabulary, stage.unknown, Losses(stage.smoothing), slim_routes=stage.slim_routes)
    trainer = LineTrainer(started, None, aim)
    model, report["lines"] = train_lines("lines", stage, stage.data, trainer, fabric, env)
    return model, vocabulary, report
