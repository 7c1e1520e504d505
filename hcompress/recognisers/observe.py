"""Decision features of labelled images, streamed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hcompress.charset import UnknownCharacter
from hcompress.compute.threads import in_threads
from hcompress.recognisers.rebuild import folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hcompress.checkpoints.checkpoint import Checkpoint
    from hcompress.data.batches import Batch
    from hcompress.progress import Progress


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

    @torch.inference_mode()
    def made(batch: Batch) -> tuple[Tensor, Tensor, int]:
        targets = model.targets(batch.texts, vocabulary, unknown)
        h, ids = model.decisions(torch.from_numpy(batch.images), targets)
        return h, ids, len(batch.texts)

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
