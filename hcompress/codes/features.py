"""The teacher's features of labelled images, streamed into votes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hcompress.codes.votes import Votes
from hcompress.recogniser.vocabulary import PAD, UnknownCharacter
from hcompress.training.lines import targets_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from hcompress.data.batches import Batch
    from hcompress.recogniser.checkpoint import Checkpoint
    from hcompress.stages.base import Progress


@torch.inference_mode()
def count_votes(
    teacher: Checkpoint,
    projection: NDArray[np.float32],
    batches: Iterable[Batch],
    unknown: UnknownCharacter,
    progress: Progress,
) -> Votes:
    """Eq. 3 over every labelled character, with the true prefix as the decoder's input.

    ``projection`` is Psi [d, K]. Memory does not grow with the images.
    """
    model, vocabulary = teacher.model, teacher.vocabulary
    psi = torch.from_numpy(projection)
    votes = Votes.none(len(vocabulary), projection.shape[1])
    signs = model.code_signs()
    for batch in batches:
        inputs, targets = targets_of(batch.texts, vocabulary, model.config.max_steps, unknown)
        features = model.features(model.encode(torch.from_numpy(batch.images)), inputs, signs)
        counted = targets != PAD
        wanted = targets[counted]
        kept = features[counted]
        right = model.scores(kept, signs).argmax(-1) == wanted
        votes.add((kept @ psi).numpy(), wanted.numpy(), right.numpy())
        progress.advance(len(batch.texts))
    return votes


def sum_over_processes(votes: Votes) -> Votes:
    """Every process's votes added up; whole numbers, so the order does not matter."""
    if not torch.distributed.is_initialized():
        return votes
    for counts in (votes.sums, votes.seen, votes.right):
        torch.distributed.all_reduce(torch.from_numpy(counts))
    return votes
