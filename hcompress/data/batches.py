"""Batches in a fixed order, made by worker processes that never change what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hcompress.data.preprocess import fit
from hcompress.errors import HcompressError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.data.source import DataSource
    from hcompress.recogniser.config import Preprocessing


class Batch(NamedTuple):
    images: NDArray[np.uint8]
    """N x height x width x 3 (RGB)."""
    texts: list[str]
    indices: list[int]


def shard(indices: Sequence[int], rank: int, world: int, batch_size: int) -> list[int]:
    """The indices of the whole batches that are ``rank``'s: batch b belongs to b % world.

    Batches are cut before they are dealt out, so that one process and many see the same batches;
    dealt by index, every index is in exactly one rank's share. The last batch may be short.
    """
    if not 0 <= rank < world or batch_size < 1:
        raise ValueError(f"rank {rank} of {world}, batches of {batch_size}")
    starts = range(rank * batch_size, len(indices), world * batch_size)
    return [index for start in starts for index in indices[start : start + batch_size]]


class _Failure(NamedTuple):
    """An error of a worker, handed over as data: unpickling would lose its kind and its line."""

    kind: type[HcompressError]
    message: str


class _Batches:
    """A map-style dataset whose entries are whole batches."""

    def __init__(
        self,
        source: DataSource,
        cuts: Sequence[Sequence[int]],
        preprocessing: Preprocessing,
    ) -> None:
        self._source = source
        self._cuts = cuts
        self._preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self._cuts)

    def __getitem__(self, number: int) -> Batch | _Failure:
        try:
            return self._make(list(self._cuts[number]))
        except HcompressError as error:
            return _Failure(type(error), str(error))

    def _make(self, indices: list[int]) -> Batch:
        size = self._preprocessing
        images = np.empty((len(indices), size.height, size.width, 3), np.uint8)
        texts = []
        for place, index in enumerate(indices):
            sample = self._source[index]
            images[place] = fit(sample.image, size.height, size.width)
            texts.append(sample.text)
        return Batch(images, texts, indices)


def batches(
    source: DataSource,
    indices: Sequence[int],
    batch_size: int,
    preprocessing: Preprocessing,
    workers: int = 0,
) -> Iterator[Batch]:
    """The samples at ``indices``, in that order, fitted to the input and cut into batches.

    ``workers`` processes prepare batches ahead; 0 makes them inline. The content and the order
    are the same for any number. Raises what the source raises, workers included.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    starts = range(0, len(indices), batch_size)
    dataset = _Batches(
        source, [indices[start : start + batch_size] for start in starts], preprocessing
    )
    made: Iterable[Batch | _Failure] = (
        _in_processes(dataset, workers)
        if workers and len(dataset) > 1
        else (dataset[number] for number in range(len(dataset)))
    )
    for batch in made:
        if isinstance(batch, _Failure):
            raise batch.kind(batch.message)
        yield batch


def _in_processes(dataset: _Batches, workers: int) -> Iterator[Batch | _Failure]:
    from torch.utils.data import DataLoader

    loader: DataLoader[Batch | _Failure] = DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size=None,
        shuffle=False,
        num_workers=min(workers, len(dataset)),
        collate_fn=_as_it_is,
        prefetch_factor=4,
    )
    yield from loader


def _as_it_is(batch: Batch | _Failure) -> Batch | _Failure:
    return batch
