"""Decision features of labelled images, streamed into whatever counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from hcompress.charset import UnknownCharacter
from hcompress.compute.threads import in_threads
from hcompress.data.unreadable import Naming
from hcompress.recognisers.rebuild import folded

if TYPE_CHECKING:
    from hcompress.data.batches import Batch
    from hcompress.data.feed import Feed
    from hcompress.progress import Progress
    from hcompress.recognisers.contract import Recogniser
    from hcompress.spec.vocabulary import Vocabulary


class Accumulator(Protocol):
    """What is made of decision features, a batch at a time, in the order of the images."""

    def add(self, features: Tensor, ids: Tensor) -> None:
        """Take in features h [M, d] and the ids [M] they should be read as."""
        ...


@torch.inference_mode()
def observe(
    model: Recogniser,
    vocabulary: Vocabulary,
    lines: Feed,
    accumulator: Accumulator,
    unknown: UnknownCharacter,
    label: str,
    progress: Progress,
) -> None:
    """Show the recogniser labelled lines and add up what its decisions are made from.

    As many batches at once as torch has threads: a batch's sums are one thread's, whatever their
    number. Memory does not grow with the images.
    """
    model = folded(model)

    @torch.inference_mode()  # of the thread that runs it
    def made(batch: Batch) -> tuple[Tensor, Tensor, int]:
        targets = model.targets(batch.texts, vocabulary, unknown)
        h, ids = model.decisions(torch.from_numpy(batch.images), targets)
        return h, ids, len(batch.texts)

    progress.start(label, lines.images)
    for features, ids, images in in_threads(made, Naming(progress)(lines)):
        accumulator.add(features, ids)
        progress.advance(images)
    progress.finish()
