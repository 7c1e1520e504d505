"""Line images to tensors, and the recogniser's forward pass with its loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hcompress.charset import PAD, UnknownCharacter, Vocabulary
from hcompress.errors import InputRefused
from hcompress.heads.hamming.loss import code_cross_entropy, hinge_loss
from hcompress.heads.softmax import softmax_loss
from hcompress.metrics import similarity
from hcompress.recognisers.transformer.decoder import Narrow, Route
from hcompress.recognisers.transformer.model import Recogniser
from hcompress.recognisers.transformer.targets import targets_of
from hcompress.spec.config import Classifier
from hcompress.training.loop import Loss, Validated
from hcompress.training.losses import answer_loss, feature_loss, state_loss

if TYPE_CHECKING:
    from hcompress.data.batches import Batch
    from hcompress.data.sample import DataSource
    from hcompress.spec.config import Preprocessing, RecogniserConfig


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
    drawn_by: int | None = None,
) -> Callable[[int], Iterator[Batch]]:
    """Batches from a step on. Step s takes images s*B to (s+1)*B, over and over the data.

    Given a seed ``drawn_by``, every image is drawn from all of them instead, whatever came before.
    Each of ``world`` processes gets every world-th image of a step's batch; their number divides
    it. Raises InputRefused where there is no image.
    """
    from hcompress.data.batches import batches

    if not len(source):
        raise InputRefused("training data: no images")

    def start(step: int) -> Iterator[Batch]:
        numbers = range(step * batch_size + rank, steps * batch_size, world)
        indices = [number % len(source) for number in numbers]
        if drawn_by is not None:
            places = np.random.default_rng(drawn_by).random(steps * batch_size)
            indices = [int(places[number] * len(source)) for number in numbers]
        return batches(source, indices, batch_size // world, preprocessing, workers)

    return start


class Encoded(NamedTuple):
    """What a frozen backbone and a teacher make of lines."""

    memory: Tensor | Narrow
    """[N, L, d]."""
    wanted: Tensor | None
    """The states of the teacher's layers [S, N, T, d], its features h last; None where nothing
    is distilled. S = 1 where only h counts."""


@dataclass(frozen=True)
class Aim:
    """What a line's features are pulled towards."""

    vocabulary: Vocabulary
    unknown: UnknownCharacter
    smoothing: float = 0.0
    """Label smoothing of the softmax loss."""
    margin: float = 1.0
    """Of the hinge loss (Eq. 6)."""
    code_cross_entropy: float = 0.0
    """Weight of the cross-entropy over all codes; 0 for none."""
    soft_labels: float = 0.0
    """The share of `code_cross_entropy`'s targets that is the teacher's answer, not the label."""
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
        signs = student.code_signs()
        self.register_buffer("signs", signs, persistent=False)

    def forward(
        self, images: Tensor | None, inputs: Tensor, targets: Tensor, encoded: Encoded | None
    ) -> Tensor:
        """The summed loss of lines [N], given as images or encoded.

        images uint8 [N, H, W, C]; inputs, targets [N, T].
        """
        student, aim = self.student, self.aim
        signs = self.signs if isinstance(self.signs, Tensor) else None
        if encoded is None:
            assert images is not None
            with torch.set_grad_enabled(not self.frozen_backbone):
                memory = student.encode(images)
            encoded = Encoded(memory, self.wanted(images, memory, inputs))
        wanted = encoded.wanted
        characters, cross = student.embed(inputs, signs), student.decoder.cross(encoded.memory)
        *states, features = student.decoder.run(characters, cross)
        loss = self._loss(features, targets, wanted)
        if aim.slim_routes and self.training:
            *_, other = student.decoder.run(characters, cross, slim_route(targets, student.config))
            loss = loss + aim.slim_routes * self._loss(other, targets, wanted)
            if wanted is None or not aim.distil:  # the whole decoder is the route's teacher
                own = feature_loss(other, features.detach(), targets)
                loss = loss + aim.slim_routes * OWN_FEATURES * own
        if wanted is not None and len(wanted) > 1:
            below = state_loss(torch.stack(states), wanted[:-1], targets)
            loss = loss + aim.distil_layers * below
        return loss

    def _loss(self, features: Tensor, targets: Tensor, wanted: Tensor | None) -> Tensor:
        """Of features h [N, T, d]: against the labels, and against the teacher's."""
        student, aim = self.student, self.aim
        logits = student.classifier(features)
        if student.config.classifier is Classifier.HAMMING:
            assert isinstance(self.signs, Tensor)
            loss = hinge_loss(logits, targets, self.signs, aim.margin)
            if aim.code_cross_entropy:
                answers = self._answers(wanted) if aim.soft_labels else None
                chosen = code_cross_entropy(logits, targets, self.signs, answers, aim.soft_labels)
                loss = loss + aim.code_cross_entropy * chosen
        else:
            loss = softmax_loss(logits, targets, aim.smoothing)
        if wanted is None or aim.distil == 0:
            return loss
        if wanted.shape[-1] != features.shape[-1]:
            # Features of another width can't be compared; the answers can.
            return loss + aim.distil * answer_loss(logits, self._answers(wanted), targets)
        return loss + aim.distil * feature_loss(features, wanted[-1], targets)

    @torch.no_grad()
    def _answers(self, wanted: Tensor | None) -> Tensor:
        """The teacher's logits [N, T, V] of its states."""
        teacher = self._teacher[0]
        assert teacher is not None
        assert wanted is not None
        logits: Tensor = teacher.classifier(wanted[-1])
        return logits

    @torch.no_grad()
    def wanted(
        self, images: Tensor | None, memory: Tensor | Narrow, inputs: Tensor
    ) -> Tensor | None:
        """`Encoded.wanted` of the same lines."""
        teacher = self._teacher[0]
        if teacher is None or not (self.aim.distil or self.aim.soft_labels):
            return None
        if not self.encode_once:
            assert images is not None
            memory = teacher.encode(images)
        states = teacher.states(memory, inputs, teacher.code_signs())
        return torch.stack(states if self.aim.distil_layers else states[-1:])

    def targets(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """`targets_of` these texts, on the recogniser's device."""
        aim = self.aim
        inputs, targets = targets_of(
            texts, aim.vocabulary, self.student.config.max_steps, aim.unknown
        )
        return inputs.to(self.device), targets.to(self.device)

    @property
    def device(self) -> torch.device:
        return self.student.memory_positions.device

    def loss(self, model: nn.Module, batch: Batch) -> Loss:
        """``model`` is this module as Fabric wrapped it."""
        inputs, targets = self.targets(batch.texts)
        pixels = torch.from_numpy(batch.images).to(self.device)
        total: Tensor = model(pixels, inputs, targets, None)
        counted = targets != PAD
        return Loss(total, int(counted.sum()), int((~counted.any(1)).sum()))


def slim_route(targets: Tensor, config: RecogniserConfig) -> Route:
    """A way through the decoder as `slim-decoder` will cut it, drawn from the batch itself.

    Half of the batches go the shortest way there is: the middle layer stands in for all, and no
    feed-forward network is left. In the others every layer is any of the D; in half of these
    feed-forward networks are kept by the toss of a coin. From the batch, so that a run that was
    resumed draws what an undisturbed one draws. targets [N, T].
    """
    seed = [int(number) for number in targets.sum(1).tolist()]
    rng = np.random.default_rng(seed)
    depth, stored = config.depth, config.stored_layers
    if rng.random() < 0.5:
        return Route((stored // 2,) * depth, (False,) * depth)
    layers = tuple(int(layer) for layer in rng.integers(0, stored, depth))
    kept = rng.random(depth) < (0.5 if rng.random() < 0.5 else 0.0)
    return Route(layers, tuple(bool(keep) for keep in kept))


def validate_lines(
    model: Recogniser, vocabulary: Vocabulary, validation: DataSource, images: int, batch_size: int
) -> Validated:
    """How the first ``images`` validation lines are read."""
    from hcompress.data.batches import batches

    count = min(images, len(validation))
    right, near = 0, 0.0
    for batch in batches(validation, range(count), batch_size, model.config.preprocessing):
        pixels = torch.from_numpy(batch.images).to(model.memory_positions.device)
        ids = model.read(pixels, candidates=1).ids[:, :, 0].tolist()
        for row, text in zip(ids, batch.texts, strict=True):
            read = vocabulary.decode(row)
            right += read == text
            near += similarity(text, read)
    return Validated(right / max(1, count), near / max(1, count))


def glyph_preprocessing(preprocessing: Preprocessing, width: int) -> Preprocessing:
    """Single characters are as high as a line, and square where ``width`` is 0."""
    return replace(preprocessing, width=width or preprocessing.height)


def snapshot_file(scratch: Path, phase: str) -> Path:
    return scratch / f"{phase}.safetensors"
