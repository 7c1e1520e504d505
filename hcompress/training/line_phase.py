"""The line phase that `train`, `finetune` and `swap-backbone` have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from hcompress.data.known import check_labels, check_lengths
from hcompress.data.unreadable import Naming, lenient
from hcompress.errors import UsageError
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.rebuild import with_temperature
from hcompress.spec.config import RecogniserConfig, TransformerConfig
from hcompress.training.calibration import fitted_temperature
from hcompress.training.closed_form import fit_head
from hcompress.training.feature_cache import encode_lines
from hcompress.training.line_trainer import (
    Aim,
    LineTrainer,
    snapshot_file,
    step_batches,
    validate_lines,
)
from hcompress.training.loop import Loss, Task, Validated, train
from hcompress.training.schedule import Schedule

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from hcompress.data.sample import DataSource
    from hcompress.training.options import LineTraining, Workplace


MATRICES = ("student.decoder.", "student.neck.")
"""What Muon takes. A row a character is a table and no matrix. The Hamming head's two projections
would be a third of its time; with them it read no more lines of known fonts (reports/LOG.md)."""


def check_lines(
    lines: DataSource, validation: DataSource | None, aim: Aim, config: RecogniserConfig
) -> None:
    """Raises InputRefused naming the labels that have characters the model has not, or if all of
    them are too long for it."""
    for source in (lines, validation):
        if source is not None:
            check_labels(source, aim.vocabulary.characters, aim.unknown)
    if isinstance(config, TransformerConfig):
        check_lengths(lines, config.max_steps - 1)


def train_lines(
    label: str,
    options: LineTraining,
    lines: DataSource,
    validation: DataSource | None,
    trainer: LineTrainer,
    fabric: Fabric,
    workplace: Workplace,
    *,
    freeze: tuple[str, ...] = (),
    slower: tuple[tuple[str, float], ...] = (),
    encode: int = 0,
    fit: int = 0,
    weight_averaging: bool = False,
) -> tuple[Recogniser, dict[str, Any]]:
    """Train, then fit the confidence on the validation lines; returns the model in eval mode.

    ``encode``: distinct lines to encode once and learn from; 0 draws new ones at every step.
    ``fit``: how many of these W is first fitted to. ``weight_averaging``: as `Schedule` has it;
    needs validation.
    """
    model, vocabulary = trainer.student, trainer.aim.vocabulary
    body = model.config
    slim = isinstance(body, TransformerConfig) and body.shared_layers and not body.ffn
    if options.slim_routes and slim:
        raise UsageError("the decoder is slim already: it has no other routes; set slim_routes = 0")
    check_lines(lines, validation, trainer.aim, body)
    lines, naming = lenient(lines, trainer.aim.unknown), Naming(workplace.progress)
    schedule = Schedule(
        options.steps,
        options.batch,
        options.learning_rate,
        options.matrix_rate,
        validate_every=options.validate_every if validation is not None else 0,
        patience=options.patience,
        snapshot_every=options.snapshot_every,
        weight_averaging=weight_averaging,
    )
    place = fabric.global_rank, fabric.world_size
    feed: Callable[[int], Iterator[Any]]
    loss: Callable[[torch.nn.Module, Any], Loss]
    prepare: Callable[[], None] | None = None
    never_drawn = 0
    if encode:
        trainer.to(fabric.device)
        encoded = encode_lines(
            trainer, lines, encode, options.workers, workplace.seed, workplace.progress
        )
        feed, loss = encoded.batches(options.batch, options.steps, *place), encoded.loss
        never_drawn = encoded.left_out
        if fit:
            prepare = partial(fit_head, encoded, fit)
    else:
        size = model.config.preprocessing
        start = step_batches(
            lines, options.batch, options.steps, size, options.workers, *place, seed=workplace.seed
        )
        feed = naming.over(start)
        loss = trainer.loss

    def validate(_: torch.nn.Module) -> Validated:
        assert validation is not None
        return validate_lines(
            model, vocabulary, validation, options.validation_images, options.batch
        )

    task = Task(
        label,
        trainer,
        loss,
        feed,
        validate if validation is not None else None,
        validated=min(options.validation_images, len(validation)) if validation is not None else 0,
        freeze=freeze,
        slower=slower,
        matrices=MATRICES,
        prepare=prepare,
    )
    state = train(
        task, schedule, fabric, snapshot_file(workplace.scratch, label), workplace.progress
    )
    model = model.cpu().eval()
    if validation is not None:
        temperature = fitted_temperature(
            model, vocabulary, validation, options.validation_images, options.batch
        )
        model = with_temperature(model, temperature)
    return model, {
        "device": str(fabric.device),
        "processes": fabric.world_size,
        "steps": state.step,
        "images": state.step * options.batch,
        "lines_left_out": state.left_out + never_drawn,
        "best_step": state.best_step,
        "first_accuracy": state.first_accuracy if weight_averaging else None,
        "mean_accuracy": state.mean_accuracy if weight_averaging else None,
        "mean_taken": state.mean_taken,
        "stopped_early": state.stopped,
        "temperature": model.config.temperature,
        "curve": state.curve,
    }
