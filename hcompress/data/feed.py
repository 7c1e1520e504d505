"""Some images of a source, cut into batches and dealt out over processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hcompress.data.batches import Batch, batches, shard
from hcompress.data.order import drawn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hcompress.data.sample import DataSource
    from hcompress.progress import Progress
    from hcompress.spec.preprocessing import Preprocessing


@dataclass(frozen=True)
class Feed:
    """One process's share of the images, as batches; the same each time it is gone through.

    Nothing is read before a batch is asked for.
    """

    source: DataSource
    indices: Sequence[int]
    batch: int
    size: Preprocessing
    workers: int
    shares: tuple[int, ...]
    """How many images each process takes."""

    @property
    def images(self) -> int:
        """How many this process takes."""
        return len(self.indices)

    def __iter__(self) -> Iterator[Batch]:
        return batches(self.source, self.indices, self.batch, self.size, self.workers)

    def watched(self, label: str, progress: Progress) -> Iterator[Batch]:
        """The batches; each counts as done when the next is asked for."""
        progress.start(label, self.images)
        for batch in self:
            yield batch
            progress.advance(len(batch.indices))
        progress.finish()


def drawn_images(
    source: DataSource,
    images: int,
    batch: int,
    size: Preprocessing,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> Feed:
    """As many of the source's images, by chance, or all if it has fewer, fitted to ``size``.

    In the order that `order.drawn` gives, so that any first few of them are a sample too.
    Batches of ``batch`` are cut before they are dealt out to ``world`` processes, so that one
    process and many see the same batches.
    """
    chosen = drawn(source, images)
    dealt = [shard(chosen, each, world, batch) for each in range(world)]
    return Feed(source, dealt[rank], batch, size, workers, tuple(map(len, dealt)))
