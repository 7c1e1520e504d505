"""The teacher's features of labelled images: streamed, into votes or into their moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from hcompress.charset import UnknownCharacter
from hcompress.codes.votes import Votes
from hcompress.codes.whitened import Scatter
from hcompress.recognisers.observe import labelled_features

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from hcompress.checkpoints.checkpoint import Checkpoint
    from hcompress.data.batches import Batch
    from hcompress.progress import Progress


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
    for kept, wanted in labelled_features(teacher, batches, unknown, progress):
        right = model.head.scores(model.head.logits(kept)).argmax(-1) == wanted
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
