"""Training a CTC recogniser with a softmax: short lines where there are any, then all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from hcompress.compute.device import check_shares, launch, resolve
from hcompress.heads.contract import Losses
from hcompress.recognisers.build import build
from hcompress.recognisers.contract import Recogniser
from hcompress.training.line_phase import check_lines, train_lines
from hcompress.training.line_trainer import Aim, LineTrainer

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource
    from hcompress.spec.vocabulary import Vocabulary
    from hcompress.training.ctc_options import TrainCtcOptions
    from hcompress.training.options import Workplace


def train_ctc(
    options: TrainCtcOptions,
    vocabulary: Vocabulary,
    lines: DataSource,
    validation: DataSource | None,
    first: DataSource | None,
    workplace: Workplace,
) -> tuple[Recogniser, dict[str, Any]]:
    """The trained recogniser, and the figures of both phases.

    ``first`` are lines to begin with, if any step is spent on them.
    """
    check_shares(batch=options.batch)
    fabric = launch(options.precision, workplace.threads)
    torch.manual_seed(workplace.seed)
    model = build(options.config(), len(vocabulary))
    report: dict[str, Any] = {"precision": resolve(options.precision).value}
    aim = Aim(
        vocabulary,
        options.unknown,
        Losses(options.smoothing),
        slim_routes=options.slim_routes,
    )
    check_lines(lines, validation, aim, model.config)  # before hours are spent on the first ones
    if first is not None:
        begun = replace(
            options, steps=options.first_steps, learning_rate=options.first_learning_rate
        )
        model, report["first"] = train_lines(
            "first", begun, first, None, LineTrainer(model, None, aim), fabric, workplace
        )
        model.train()
    model, report["lines"] = train_lines(
        "lines", options, lines, validation, LineTrainer(model, None, aim), fabric, workplace
    )
    return model, report
