"""Distils a foreign body into itself in few bits: its own features and answers are the labels.

Rounding, with errors made good, is where training begins; what it moves is where on its grid each
weight lies. Where it gains nothing on validation lines, the rounded body is the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import nn

from hcompress.compress.body_options import BATCH, WIDTH
from hcompress.compress.quantise_body import Rounding, quantised_body
from hcompress.compute.device import launch
from hcompress.compute.precision import Precision
from hcompress.errors import InputRefused
from hcompress.foreign.batches import calibration, windows
from hcompress.foreign.dead import dead_classes
from hcompress.foreign.features import Features, frames_first
from hcompress.foreign.inputs import batches
from hcompress.metrics import similarity
from hcompress.recognisers.opaque.body import OpaqueBody
from hcompress.training.body_trainer import BodyTrainer, Classes, Lines, as_classes
from hcompress.training.line_trainer import snapshot_file
from hcompress.training.loop import Task, Validated, train
from hcompress.training.schedule import Schedule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.data.sample import DataSource
    from hcompress.foreign.edit import Stored
    from hcompress.foreign.model import ForeignModel
    from hcompress.training.body_options import DistilOptions
    from hcompress.training.options import Workplace

APART: Final = 0.1
"""How far, of their square, a teacher's features may be from those of the student's floats."""
SLOWER: Final = 0.1
"""The rate of scales, vectors and biases beside that of places on the grid."""


def distil_body(
    options: DistilOptions,
    model: ForeignModel,
    teacher: ForeignModel,
    lines: DataSource,
    workplace: Workplace,
) -> tuple[dict[str, Stored], dict[str, Any]]:
    """How each weight of the model's body is stored, and the figures.

    ``model`` holds its body as floats, and whatever head it has; ``teacher`` is the recogniser
    whose answers count. ``lines`` are at least those that `DistilOptions` asks for, or all there
    are. Raises NumericalError at a loss that is not finite, InputRefused if the teacher's
    features are another body's.
    """
    image, seed = model.spec.image, workplace.seed
    learnt = min(options.images, max(1, len(lines) - options.validation_images))
    first = list(calibration(lines, min(options.calibration, learnt), image, WIDTH, BATCH, seed))
    how = Rounding(options.bits, options.group, options.mean_bits)
    stored = quantised_body(model, how, first, workplace.progress)
    figures: dict[str, Any] = {
        "lines": learnt,
        "bytes": sum(one.packed.bytes for one in stored.values()),
    }
    if not options.steps:
        return stored, figures
    torch.manual_seed(seed)
    fabric = launch(Precision.FP32, workplace.threads)
    features = Features(teacher, workplace.threads)
    body = OpaqueBody(model.proto, model.classifier.features)
    _check_teacher(body, features, first[0])
    as_frames, single = _together(body, features, first)
    trainer = BodyTrainer(
        body,
        stored,
        _live(teacher, teacher),
        _live(model, teacher),
        as_frames,
        single=single,
    )
    held = range(learnt, min(learnt + options.validation_images, len(lines)))
    judge = _judge(trainer, model, teacher, features, lines, held) if len(held) else None
    task = Task(
        "distil-body",
        trainer,
        lambda _, batch: trainer.loss(batch, options.feature_weight),
        _feed(options, lines, learnt, model, features, seed),
        judge,
        len(held),
        slower=tuple((prefix, SLOWER) for prefix in trainer.slower),
    )
    schedule = Schedule(
        options.steps,
        options.batch,
        options.learning_rate,
        warmup=20,
        weight_decay=0.0,
        validate_every=options.validate_every if judge else 0,
        patience=options.patience,
        snapshot_every=options.snapshot_every,
    )
    if judge is not None:
        figures["rounded"] = judge(trainer).accuracy
        workplace.progress.say(f"rounded: {100 * figures['rounded']:.2f}% of frames kept")
    state = train(
        task, schedule, fabric, snapshot_file(workplace.scratch, "body"), workplace.progress
    )
    figures |= {"steps": state.step, "curve": state.curve, "best_step": state.best_step}
    if 0 <= state.best_accuracy <= figures.get("rounded", -1):  # below 0: nobody looked
        workplace.progress.say("training gained nothing: the body is stored as it was rounded")
        figures["best_step"] = 0
        return stored, figures
    return trainer.stored(), figures


def _live(model: ForeignModel, teacher: ForeignModel) -> Classes:
    """A model's classes without those that are never answered: fewer to compare."""
    dead = dead_classes(*teacher.class_weights(), teacher.spec.blank)
    kept = np.setdiff1d(np.arange(teacher.classifier.classes), dead)
    weight, bias = model.class_weights()
    return as_classes(weight[kept], bias[kept])


def _check_teacher(body: OpaqueBody, features: Features, inputs: Any) -> None:
    """Before anything is rounded, student and teacher give the same features.

    Those of another body may be as many, and mean something else to the student's head.
    """
    one = inputs[:1]
    wanted = features.run(one)
    with torch.no_grad():
        made = _as_frames(features)(body(torch.from_numpy(one)), 1).numpy()
    if (
        made.shape != wanted.shape
        or np.square(made - wanted).sum() > APART * np.square(wanted).sum()
    ):
        raise InputRefused(
            "the teacher's features are another body's: give the recogniser that this one was"
            " made from"
        )


def _as_frames(features: Features, time_first: bool | None = None) -> Callable[[Any, int], Any]:
    """The body's own layout of features as [N, T, d]."""
    first = features.time_first if time_first is None else time_first
    return lambda made, lines: frames_first(made, lines, features.rows_last, first)


def _together(
    body: OpaqueBody, features: Features, inputs: Sequence[Any]
) -> tuple[Callable[[Any, int], Any], bool]:
    """How features are laid out as frames, and whether images must go through one at a time.

    Many graphs only say that they take one image; torch may take more at once, which is faster.
    """
    plain = _as_frames(features)
    if not features.spec.image.single:
        return plain, False
    pair = torch.from_numpy(np.concatenate([*inputs[:2]]))
    with torch.no_grad():
        apart = torch.cat([plain(body(one), 1) for one in torch.split(pair, 1)])
        for time_first in (False, True):
            found = _as_frames(features, time_first)
            try:
                made = found(body(pair), len(pair))
            except RuntimeError:  # torch's, of shapes that do not fit
                break
            if made.shape == apart.shape and torch.allclose(made, apart, rtol=1e-3, atol=1e-3):
                return found, False
    return plain, True


def _feed(
    options: DistilOptions,
    lines: DataSource,
    learnt: int,
    model: ForeignModel,
    features: Features,
    seed: int,
) -> Callable[[int], Iterator[Lines]]:
    """Step s's windows are the same, wherever training began."""
    image = model.spec.image

    def start(step: int) -> Iterator[Lines]:
        for number in range(step, options.steps):
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, number])))
            places = [int(place) for place in rng.integers(learnt, size=options.batch)]
            made = windows(lines, places, image, WIDTH, seed + number)
            yield Lines(torch.from_numpy(made), torch.from_numpy(_run(features, made)))

    return start


def _run(features: Features, inputs: Any) -> Any:
    if not features.spec.image.single:
        return features.run(inputs).copy()
    return np.concatenate([features.run(inputs[i : i + 1]) for i in range(len(inputs))])


def _judge(
    trainer: BodyTrainer,
    model: ForeignModel,
    teacher: ForeignModel,
    features: Features,
    lines: DataSource,
    places: range,
) -> Callable[[nn.Module], Validated]:
    """The share of frames that are no blank on which student and teacher agree.

    There are ten times as many frames as lines: the same text would say ten times less.
    """
    images = [lines[place].image for place in places]
    spec = model.spec
    weight, bias = teacher.class_weights()
    mine = as_classes(*model.class_weights())
    inputs: list[tuple[torch.Tensor, NDArray[np.intp]]] = []
    for _, batch in batches(images, spec.image, BATCH):
        ids = (features.run(batch) @ weight.T + bias).argmax(-1)
        inputs.append((torch.from_numpy(batch), ids))
    spoken = sum(int((ids != spec.blank).sum()) for _, ids in inputs)
    if not spoken:
        raise InputRefused(
            "validation: the recogniser reads nothing on these lines: are they lines?"
        )

    def validate(_: nn.Module) -> Validated:
        same, near = 0, []
        with torch.no_grad():
            for batch, wanted in inputs:
                made = trainer.features(batch) @ mine.weight.T + mine.bias
                ids = made.argmax(-1).numpy()
                same += int(((ids == wanted) & (wanted != spec.blank)).sum())
                texts = ((spec.text(line.tolist()) for line in side) for side in (wanted, ids))
                near += [similarity(*pair) for pair in zip(*texts, strict=True)]
        return Validated(same / spoken, sum(near) / len(near))

    return validate
