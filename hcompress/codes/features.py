"""The teacher's features of labelled images: streamed, into votes or into their moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hcompress.codes.votes import Votes
from hcompress.codes.whitened import Scatter
from hcompress.recogniser.surgery import folded
from hcompress.recogniser.vocabulary import PAD, UnknownCharacter
from hcompress.training.lines import targets_of
from hcompress.training.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from hcompress.data.batches import Batch
    from hcompress.recogniser.checkpoint import Checkpoint
    from hcompress.stages.base import Progress


@torch.inference_mode()
def labelled_features(
    teacher: Checkpoint,
    batches: Iterable[Batch],
    unknown: UnknownCharacter,
    progress: Progress,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Features [M, d] and ids [M] of a batch's characters and EOS at a time.

    The decoder's input is the true prefix. As many batches at once as torch has threads: a
    batch's sums are one thread's, whatever their number.
    """
    model, vocabulary = folded(teacher.model), teacher.vocabulary
    signs = model.code_signs()

    @torch.inference_mode()
    def made(batch: Batch) -> tuple[Tensor, Tensor, int]:
        inputs, targets = targets_of(batch.texts, vocabulary, model.config.max_steps, unknown)
        features = model.features(model.memory(torch.from_numpy(batch.images)), inputs, signs)
        counted = targets != PAD
        return features[counted], targets[counted], len(batch.texts)

    for features, ids, images in in_threads(made, batches):
        yield features, ids
        progress.advance(images)


@torch.inference_mode()
def second_moment(features: Iterable[Tensor], width: int) -> Tensor:
    """The mean of h h^T over features [M, d]: float64 [d, d]. Zeros where there are none."""
    total, count = torch.zeros(width, width, dtype=torch.float64), 0
    for part in features:
        total += part.T.double() @ part.double()
        count += len(part)
    return total / max(count, 1)


@torch.inference_mode()
def count_votes(
    teacher: Checkpoint,
    projection: NDArray[np.float32],
    batches: Iterable[Batch],
    unknown: UnknownCharacter,
    progress: Progress,
) -> Votes:
    """Eq. 3 over every labelled character.

    ``projection`` is Psi [d, K]. Memory does not grow with the images.
    """
    model, vocabulary = teacher.model, teacher.vocabulary
    psi = torch.from_numpy(projection)
    votes = Votes.none(len(vocabulary), projection.shape[1])
    signs = model.code_signs()
    for kept, wanted in labelled_features(teacher, batches, unknown, progress):
        right = model.scores(kept, signs).argmax(-1) == wanted
        votes.add((kept @ psi).numpy(), wanted.numpy(), right.numpy())
    return votes


@torch.inference_mode()
def measure_scatter(
    teacher: Checkpoint, batches: Iterable[Batch], unknown: UnknownCharacter, progress: Progress
) -> Scatter:
    """How the features of one character scatter, over every labelled character."""
    scatter = Scatter.none(len(teacher.vocabulary), teacher.config.width)
    for features, ids in labelled_features(teacher, batches, unknown, progress):
        scatter.add(features.numpy(), ids.numpy())
    return scatter


def sum_over_processes(*counts: NDArray[np.int64] | NDArray[np.float64]) -> None:
    """Every process's counts added up, in place; whole numbers, so the order does not matter."""
    if torch.distributed.is_initialized():
        for count in counts:
            torch.distributed.all_reduce(torch.from_numpy(count))
