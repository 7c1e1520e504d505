"""Training the softmax recogniser: single characters, then lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from hcompress.compute.device import check_shares, launch, resolve
from hcompress.heads.contract import Losses
from hcompress.recognisers.build import build
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.transformer.model import Transformer
from hcompress.training.character_phase import train_glyphs
from hcompress.training.line_phase import check_lines, train_lines
from hcompress.training.line_trainer import Aim, LineTrainer

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource
    from hcompress.spec.vocabulary import Vocabulary
    from hcompress.training.options import TrainOptions, Workplace


def train_teacher(
    options: TrainOptions,
    vocabulary: Vocabulary,
    lines: DataSource,
    validation: DataSource | None,
    glyphs: DataSource | None,
    workplace: Workplace,
) -> tuple[Recogniser, dict[str, Any]]:
    """The trained recogniser, and the figures of both phases.

    ``glyphs`` are single characters to begin with, if any step is spent on them.
    """
    check_shares(batch=options.batch)
    fabric = launch(options.precision, workplace.threads)
    torch.manual_seed(workplace.seed)
    started = build(options.config(), len(vocabulary))
    assert isinstance(started, Transformer)
    report: dict[str, Any] = {"precision": resolve(options.precision).value}
    aim = Aim(
        vocabulary,
        options.unknown,
        Losses(options.smoothing),
        slim_routes=options.slim_routes,
    )
    check_lines(lines, validation, aim, started.config)  # before hours are spent on glyphs
    if glyphs is not None:
        report["glyphs"] = train_glyphs(options, glyphs, fabric, started, vocabulary, workplace)
    trainer = LineTrainer(started, None, aim)
    model, report["lines"] = train_lines(
        "lines", options, lines, validation, trainer, fabric, workplace
    )
    return model, report
