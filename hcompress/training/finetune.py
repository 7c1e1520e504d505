"""Bringing a changed recogniser back: fine-tuning against labels and the teacher's features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from hcompress.checkpoints.checkpoint import Checkpoint, load_checkpoint
from hcompress.compute.device import check_shares, launch, resolve
from hcompress.errors import UsageError
from hcompress.formats.open import Source, path_of
from hcompress.heads.contract import Losses
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.rebuild import folded, with_rerank
from hcompress.spec.config import BatchNorm
from hcompress.training.line_phase import train_lines
from hcompress.training.line_trainer import Aim, LineTrainer

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource
    from hcompress.training.options import FinetuneOptions, Workplace


BACKBONE = "student.backbone."


def finetune(
    options: FinetuneOptions,
    before: Checkpoint,
    teacher: Recogniser | None,
    lines: DataSource,
    validation: DataSource | None,
    workplace: Workplace,
) -> tuple[Recogniser, dict[str, Any]]:
    """Train on ``lines``, with the ``teacher`` that `load_teacher` gives.

    Returns the trained model, its confidence fitted on validation lines, and the figures."""
    frozen = options.backbone_rate == 0
    if before.config.batch_norm is BatchNorm.FOLDED and not frozen:
        raise UsageError("batch normalisation is folded: train the backbone before, not after")
    check_shares(batch=options.batch)
    fabric = launch(options.precision, workplace.threads)
    torch.manual_seed(workplace.seed)
    student = with_rerank(before.model) if options.rerank else before.model
    aim = Aim(
        before.vocabulary,
        options.unknown,
        Losses(
            options.smoothing,
            options.margin,
            options.code_cross_entropy,
            options.soft_labels,
            options.rivals,
        ),
        options.distil,
        options.layers_weight,
        options.slim_routes,
    )
    shared = frozen and teacher is not None and same_backbone(student, teacher)
    if options.lines and not (shared or teacher is None):
        raise UsageError(
            "lines asks for encodings that serve both: learn from a teacher with the same backbone,"
            " or from none (distil = 0, soft_labels = 0)"
        )
    if teacher is not None and not shared:
        teacher = folded(teacher).requires_grad_(False)  # it learns nothing, and is faster so
    if options.soft_labels and student.config.head.code_length is None:
        raise UsageError(
            "soft_labels is a share of code_cross_entropy among codes: set soft_labels = 0"
        )
    kept = kept_prefixes(options.kept_blocks, student)
    if options.fit_lines and not student.head.has_closed_form:
        raise UsageError("fit_lines is for a Hamming classifier: set fit_lines = 0")
    trainer = LineTrainer(student, teacher, aim, encode_once=shared, frozen_backbone=frozen)
    if teacher is not None:
        teacher.to(fabric.device)
    model, figures = train_lines(
        "finetune",
        options,
        lines,
        validation,
        trainer,
        fabric,
        workplace,
        freeze=(BACKBONE,) if frozen else kept,
        slower=((BACKBONE, options.backbone_rate),),
        encode=options.lines,
        fit=options.fit_lines,
        weight_averaging=options.weight_averaging,
    )
    precision = resolve(options.precision).value
    return model, {"precision": precision, "encoded_once": shared, **figures}


def kept_prefixes(count: int, student: Recogniser) -> tuple[str, ...]:
    """Prefixes of the names of the backbone's first ``count`` blocks. Raises UsageError where
    nothing is left to learn."""
    path = student.backbone.path()
    if count >= len(path):
        raise UsageError(
            f"kept_blocks = {count}, and the backbone has {len(path)}: to keep all of them, leave"
            " it out and set backbone_rate = 0"
        )
    return tuple(f"{BACKBONE}{name}." for name in path[:count])


def load_teacher(
    options: FinetuneOptions, before: Checkpoint, source: Source | None
) -> Recogniser | None:
    """The teacher that the options ask for, if any; it learns nothing.

    Raises UsageError if there is no ``source`` or the student can't learn from it.
    """
    if options.distil == 0 and options.soft_labels == 0:
        return None
    if source is None:
        asks = "distil" if options.distil else "soft_labels"
        raise UsageError(f"{asks} asks for a teacher; name one with --teacher, or set {asks} = 0")
    teacher, path = load_checkpoint(source), path_of(source)
    if teacher.vocabulary != before.vocabulary:
        raise UsageError(f"{path}: the teacher's charset is another one")
    if options.soft_labels and teacher.config.head.code_length is not None:
        raise UsageError(f"{path}: the teacher answers in codes; set soft_labels = 0")
    if options.distil and teacher.config.width != before.config.width:
        raise UsageError(
            f"{path}: the teacher has {teacher.config.width} features and the student"
            f" {before.config.width}: nothing to compare; set distil = 0"
        )
    if options.layers_weight and teacher.config.depth != before.config.depth:
        raise UsageError(
            f"{path}: the teacher has {teacher.config.depth} layers and the student"
            f" {before.config.depth}: nothing to compare; set distil_layers = 0"
        )
    return teacher.model.requires_grad_(False)


def same_backbone(student: Recogniser, teacher: Recogniser) -> bool:
    """Whether both backbones hold the same tensors, so that one encoding serves both."""
    mine, theirs = student.backbone.state_dict(), teacher.backbone.state_dict()
    return (
        student.config.preprocessing == teacher.config.preprocessing
        and mine.keys() == theirs.keys()
        and all(torch.equal(mine[name], theirs[name]) for name in mine)
    )
