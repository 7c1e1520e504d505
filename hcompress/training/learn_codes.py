"""Learning codes and what meets them together (EMU), and the Hamming head that comes out.

V vocabulary, K bits, M decisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from hcompress.codes.make import columns_of
from hcompress.codes.repair import Repairs, repaired
from hcompress.codes.report import codebook_report
from hcompress.codes.similarity import similarity_report
from hcompress.codes.votes import projected, random_bits, random_projection
from hcompress.compress.replace_head import with_hamming_classifier, with_hamming_embedding
from hcompress.compute.device import check_shares, launch, resolve
from hcompress.data.feed import drawn_images
from hcompress.errors import UsageError
from hcompress.heads.contract import Losses
from hcompress.heads.emu.learner import CodeLearner
from hcompress.heads.emu.module import LearningHead, LearningInputs
from hcompress.heads.hamming.codebook import Codebook, pack
from hcompress.recognisers.rebuild import folded, rebuilt, with_rerank
from hcompress.spec.config import BatchNorm
from hcompress.training.code_options import LearnCodesOptions, Start
from hcompress.training.finetune import BACKBONE, same_backbone
from hcompress.training.line_phase import train_lines
from hcompress.training.line_trainer import Aim, LineTrainer

if TYPE_CHECKING:
    from hcompress.checkpoints.checkpoint import Checkpoint
    from hcompress.data.sample import DataSource
    from hcompress.recognisers.contract import Recogniser, Targets
    from hcompress.spec.vocabulary import Vocabulary
    from hcompress.training.line_trainer import Encoded
    from hcompress.training.options import Workplace

LEARNER: Final = "student.classifier.learner."
BODY: Final = ("student.decoder.", "student.neck.")
SURE: Final = 0.5
"""The size of code logits that begin as given codes: what Adam crosses in some hundred steps."""
EDGES: Final = (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128, 256, 512)
"""Of the histogram of beta."""
ROWS: Final = 1 << 22
"""Scores held at once when answers are compared."""


class CodeTrainer(LineTrainer):
    """Lines' loss with codes that are one step further each time."""

    def forward(self, images: Tensor | None, targets: Targets, encoded: Encoded | None) -> Tensor:
        if self.training:
            learner_of(self.student).begin()
        return super().forward(images, targets, encoded)


def learn_codes(
    options: LearnCodesOptions,
    before: Checkpoint,
    codebook: Codebook | None,
    teacher: Recogniser | None,
    lines: DataSource,
    validation: DataSource | None,
    workplace: Workplace,
) -> tuple[Recogniser, dict[str, Any]]:
    """A recogniser whose codes were learnt on ``lines``, nothing else in it, and the figures.

    ``codebook``: what waits beside a softmax, if anything. ``teacher`` is as
    `finetune.load_teacher` gives it.
    """
    frozen = options.backbone_rate == 0
    if before.config.batch_norm is BatchNorm.FOLDED and not frozen:
        raise UsageError("batch normalisation is folded: train the backbone before, not after")
    check_shares(batch=options.batch)
    fabric = launch(options.precision, workplace.threads)
    torch.manual_seed(workplace.seed)
    student = learning(*beginning(options, before.model, codebook, workplace.seed), options)
    shared = frozen and teacher is not None and same_backbone(student, teacher)
    if options.lines and not (shared or teacher is None):
        raise UsageError("lines asks for a teacher with the same backbone, or none: set distil = 0")
    if teacher is not None:
        teacher = teacher if shared else folded(teacher).requires_grad_(False)
        teacher.to(fabric.device)
    aim = Aim(
        before.vocabulary,
        options.unknown,
        Losses(code_cross_entropy=1.0),
        options.distil,
        slim_routes=options.slim_routes,
    )
    trainer = CodeTrainer(student, teacher, aim, encode_once=shared, frozen_backbone=frozen)
    model, figures = train_lines(
        "learn-codes",
        options,
        lines,
        validation,
        trainer,
        fabric,
        workplace,
        freeze=((BACKBONE,) if frozen else ()) + (() if options.body_rate else BODY),
        slower=(
            (BACKBONE, options.backbone_rate),
            *((part, options.body_rate) for part in BODY),
            (f"{LEARNER}beta_net.", options.beta_rate),
            (f"{LEARNER}class_net.", options.code_rate),
        ),
        encode=options.lines,
    )
    made, repairs, apart = finished(model, learner_of(student), options.min_distance)
    codes = made.codebook.numpy()
    return made, {
        "precision": resolve(options.precision).value,
        **figures,
        **gap(student, made, before.vocabulary, validation or lines, options),
        "similarity": similarity_report(codes, before.vocabulary.name),
        **codebook_report(codes, None, repairs, apart, before.vocabulary),
    }


def beginning(
    options: LearnCodesOptions, model: Recogniser, codebook: Codebook | None, seed: int
) -> tuple[Recogniser, Tensor]:
    """A Hamming recogniser, and the code logits [V, K] that its codes begin as."""
    length = model.config.head.code_length
    logits: Tensor | None = None
    if length is None:
        if codebook is None or options.start is Start.CHANCE:
            columns = columns_of(model)
            length = codebook.code_length if codebook is not None else options.code_length
            projection = random_projection(model.config.width, length, seed)
            sides = projected(columns, projection)
            logits = torch.from_numpy(sides / max(float(np.sqrt((sides**2).mean())), 1e-12))
            codebook = Codebook(pack(sides >= 0), projection)
        model = with_hamming_classifier(model, codebook)
        length = codebook.code_length
    if options.embedding and model.inputs is not None and model.inputs.table() is not None:
        model = with_hamming_embedding(model, model.codebook.numpy())
    if options.start is Start.CHANCE:
        codes = pack(random_bits(model.vocabulary, length, seed))
        model = rebuilt(model, model.config, {"codebook": torch.from_numpy(codes)})
        logits = None
    if logits is None:
        logits = model.signs() * SURE
    return (with_rerank(model) if options.rerank else model), logits.float()


def learning(model: Recogniser, logits: Tensor, options: LearnCodesOptions) -> Recogniser:
    """``model`` itself, its head exchanged for one whose codes, from ``logits`` [V, K], learn."""
    learner = CodeLearner(len(logits), model.config.width, logits.shape[1], options.emu)
    learner.start_from(logits)
    model.classifier = LearningHead.of(model.head, learner, framewise=model.framewise)
    model.embedding = LearningInputs.of(model.inputs, learner)
    return model.train()


def learner_of(model: Recogniser) -> CodeLearner:
    """What learns a recogniser's codes; only one that `learning` has made has it."""
    head = model.classifier
    assert isinstance(head, LearningHead)
    return head.learner


def finished(
    model: Recogniser, learner: CodeLearner, min_distance: float
) -> tuple[Recogniser, Repairs, int]:
    """The recogniser with its codes as signs, repaired, and none of what learnt them."""
    with torch.no_grad():
        logits = learner.eval().code_logits().double().cpu().numpy()
    bits, repairs, apart = repaired(
        logits >= 0, np.abs(logits), min_distance, Repairs(0, (), (), ())
    )
    codes = torch.from_numpy(pack(bits))
    return rebuilt(model, model.config, {"codebook": codes}).eval(), repairs, apart


@torch.inference_mode()
def gap(
    student: Recogniser,
    made: Recogniser,
    vocabulary: Vocabulary,
    lines: DataSource,
    options: LearnCodesOptions,
) -> dict[str, Any]:
    """What relaxed codes answer right, teacher-forced, beside the signs that are kept of them; and
    the histogram of beta over the same decisions (the paper's Fig. 9).

    ``student`` is as it was trained, ``made`` what came of it.
    """
    head = student.classifier
    assert isinstance(head, LearningHead)
    first = head.setting.first_answer
    right = np.zeros(3, np.int64)
    betas: list[Tensor] = []
    size = student.config.preprocessing
    rows = max(1, ROWS // student.vocabulary)
    for batch in drawn_images(lines, options.validation_images, options.batch, size):
        targets = student.targets(batch.texts, vocabulary, options.unknown)
        features, wanted = student.decided(student.encode(torch.from_numpy(batch.images)), targets)
        for h, ids in zip(torch.split(features, rows), torch.split(wanted, rows), strict=True):
            scores, beta = head.relaxed(h)
            answers = (
                scores[:, first:].argmax(-1) + first,
                head.scores(head.logits(h)).argmax(-1),
                made.head.scores(made.head.logits(h)).argmax(-1),
            )
            right += [int((answer == ids).sum()) for answer in answers]
            betas.append(beta)
    every = torch.cat(betas).float().numpy() if betas else np.zeros(0, np.float32)
    shares = [round(float(count) / max(1, len(every)), 5) for count in right]
    return {
        "decisions": len(every),
        "right": dict(zip(("relaxed", "signs", "repaired"), shares, strict=True)),
        "beta": beta_report(every, float(learner_of(student).sharp)),
    }


def beta_report(betas: np.ndarray[Any, np.dtype[np.float32]], codes: float) -> dict[str, Any]:
    """The histogram of decisions' beta [M], by lower edges, and the codes' own."""
    if not len(betas):
        return {"codes": round(codes, 4)}
    counts, _ = np.histogram(np.minimum(betas, 1e6), [*EDGES, np.inf])
    low, middle, high = np.quantile(betas, (0.1, 0.5, 0.9))
    return {
        "codes": round(codes, 4),
        "mean": round(float(betas.mean()), 4),
        "tenth": round(float(low), 4),
        "median": round(float(middle), 4),
        "ninetieth": round(float(high), 4),
        "histogram": {f"{edge:g}": int(n) for edge, n in zip(EDGES, counts, strict=True)},
    }
