"""Line images to tensors, and the recogniser's forward pass with its loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hcompress.charset import UnknownCharacter
from hcompress.data.feed import drawn_images
from hcompress.data.order import Passes
from hcompress.errors import InputRefused
from hcompress.heads.contract import Losses
from hcompress.metrics import similarity
from hcompress.recognisers.contract import Recogniser, Targets
from hcompress.spec.vocabulary import Vocabulary
from hcompress.training.loop import Loss, Validated
from hcompress.training.losses import answer_loss, feature_loss, state_loss

if TYPE_CHECKING:
    from hcompress.data.batches import Batch
    from hcompress.data.sample import DataSource
    from hcompress.spec.preprocessing import Preprocessing


NO_MORE = Losses()
OWN_FEATURES = 4.0
"""Weight, along a slim route, of the distance to the features of the same decoder whole."""


def step_batches(
    source: DataSource,
    batch_size: int,
    steps: int,
    preprocessing: Preprocessing,
    workers: int,
    rank: int,
    world: int,
    *,
    seed: int,
    drawn_by: int | None = None,
) -> Callable[[int], Iterator[Batch]]:
    """Batches from a step on: every image once, then every image once again in another order.

    The orders go by ``seed``. Given ``drawn_by``, also a seed, every image is drawn from all of
    them instead, whatever came before.
    Each of ``world`` processes gets every world-th image of a step's batch; their number divides
    it. Raises InputRefused where there is no image.
    """
    from hcompress.data.batches import batches
    from hcompress.data.widths import batches_by_width

    if not len(source):
        raise InputRefused("training data: no images")

    share = batch_size // world

    def numbers(first: int, end: int) -> range:
        return range(first * batch_size + rank, end * batch_size, world)

    def start(step: int) -> Iterator[Batch]:
        if preprocessing.any_width:
            passes, wanted = Passes(source, seed), (step, steps)
            return batches_by_width(passes, numbers, share, wanted, preprocessing, workers, seed)
        if drawn_by is None:
            passes = Passes(source, seed)
            return batches(passes, numbers(step, steps), share, preprocessing, workers)
        places = np.random.default_rng(drawn_by).random(steps * batch_size)
        indices = [int(places[number] * len(source)) for number in numbers(step, steps)]
        return batches(source, indices, share, preprocessing, workers)

    return start


class Encoded(NamedTuple):
    """What a frozen backbone and a teacher make of lines."""

    memory: Any
    """As `Recogniser.memory` gives it."""
    wanted: Tensor | None
    """The states of the teacher's layers [S, N, T, d], its features h last; None where nothing
    is distilled. S = 1 where only h counts."""


@dataclass(frozen=True)
class Aim:
    """What a line's features are pulled towards."""

    vocabulary: Vocabulary
    unknown: UnknownCharacter
    losses: Losses = NO_MORE
    """How far, and towards what, the head's own answers are pulled."""
    distil: float = 0.0
    """Weight of the distance to the teacher's features; 0 for none."""
    distil_layers: float = 0.0
    """Weight of the distance to the states of the teacher's layers below; 0 for none."""
    slim_routes: float = 0.0
    """Weight of the loss along a second way through the decoder, drawn for each batch; 0: none."""


class LineTrainer(nn.Module):
    """A recogniser whose forward pass is its loss, so that DDP sees one module.

    Parameter names start with ``student.``; the teacher has no part in the state.
    """

    def __init__(
        self,
        student: Recogniser,
        teacher: Recogniser | None,
        aim: Aim,
        *,
        encode_once: bool = False,
        frozen_backbone: bool = False,
    ) -> None:
        super().__init__()
        self.student = student
        self.aim = aim
        self.encode_once = encode_once
        """Student and teacher have the same frozen backbone: encode once for both."""
        self.frozen_backbone = frozen_backbone
        self._teacher = [teacher]  # in a list, so that it is no submodule

    def forward(self, images: Tensor | None, targets: Targets, encoded: Encoded | None) -> Tensor:
        """The summed loss of lines [N], given as images uint8 [N, H, W, C] or encoded."""
        student, aim = self.student, self.aim
        if encoded is None:
            assert images is not None
            with torch.set_grad_enabled(not self.frozen_backbone):
                memory = student.encode(images)
            encoded = Encoded(memory, self.wanted(images, memory, targets))
        wanted = encoded.wanted
        ways = student.ways(encoded.memory, targets)
        *states, features = next(ways)
        loss = self._loss(features, targets, wanted)
        if aim.slim_routes and self.training:
            *_, other = next(ways)
            loss = loss + aim.slim_routes * self._loss(other, targets, wanted)
            if wanted is None or not aim.distil:  # the whole decoder is the route's teacher
                own = feature_loss(other, features.detach(), targets.counted)
                loss = loss + aim.slim_routes * OWN_FEATURES * own
        if wanted is not None and len(wanted) > 1:
            below = state_loss(torch.stack(states), wanted[:-1], targets.counted)
            loss = loss + aim.distil_layers * below
        return loss

    def _loss(self, features: Tensor, targets: Targets, wanted: Tensor | None) -> Tensor:
        """Of features h [N, T, d]: against the labels, and against the teacher's."""
        student, aim = self.student, self.aim
        logits = student.head.logits(features)
        soft = None if wanted is None else partial(self._answers, wanted)
        loss = student.label_loss(logits, targets, aim.losses, soft)
        if wanted is None or aim.distil == 0:
            return loss
        shares = student.shares(features, targets)
        if wanted.shape[-1] != features.shape[-1]:
            # Features of another width can't be compared; the answers can.
            answers = self._answers(wanted)
            return loss + aim.distil * answer_loss(logits, answers, shares)
        return loss + aim.distil * feature_loss(features, wanted[-1], shares)

    @torch.no_grad()
    def _answers(self, wanted: Tensor) -> Tensor:
        """The teacher's logits [N, T, V] of its states."""
        teacher = self._teacher[0]
        assert teacher is not None
        return teacher.head.logits(wanted[-1])

    @torch.no_grad()
    def wanted(self, images: Tensor | None, memory: Any, targets: Targets) -> Tensor | None:
        """`Encoded.wanted` of the same lines."""
        teacher = self._teacher[0]
        if teacher is None or not (self.aim.distil or self.aim.losses.soft_labels):
            return None
        if not self.encode_once:
            assert images is not None
            memory = teacher.encode(images)
        states = teacher.states(memory, targets)
        return torch.stack(states if self.aim.distil_layers else states[-1:])

    def targets(self, texts: list[str]) -> Targets:
        """What these texts ask for, on the recogniser's device."""
        aim = self.aim
        return self.student.targets(texts, aim.vocabulary, aim.unknown).to(self.device)

    @property
    def device(self) -> torch.device:
        return self.student.device

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """``model`` is this module as Fabric wrapped it."""
        targets = self.targets(batch.texts)
        pixels = torch.from_numpy(batch.images).to(self.device)
        total: Tensor = model(pixels, targets, None)
        counted = targets.counted
        return Loss(total, int(counted.sum()), int((~counted.any(1)).sum()))


def validate_lines(
    model: Recogniser, vocabulary: Vocabulary, validation: DataSource, images: int, batch_size: int
) -> Validated:
    """How as many of the validation lines are read, the same each time."""
    lines = drawn_images(validation, images, batch_size, model.config.preprocessing)
    right, near = 0, 0.0
    for batch in lines:
        pixels = torch.from_numpy(batch.images).to(model.device)
        ids = model.read(pixels, candidates=1).ids[:, :, 0].tolist()
        for row, text in zip(ids, batch.texts, strict=True):
            read = vocabulary.decode(row)
            right += read == text
            near += similarity(text, read)
    return Validated(right / max(1, lines.images), near / max(1, lines.images))


def glyph_preprocessing(preprocessing: Preprocessing, width: int) -> Preprocessing:
    """Single characters are as high as a line, and square where ``width`` is 0."""
    return replace(preprocessing, width=width or preprocessing.height)


def snapshot_file(scratch: Path, phase: str) -> Path:
    return scratch / f"{phase}.safetensors"
