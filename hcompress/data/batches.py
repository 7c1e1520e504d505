"""Batches in a fixed order, made by worker processes that never change what is in them."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast

import numpy as np

from hcompress.data.preprocess import fit
from hcompress.errors import EnvironmentFailed, HcompressError
from hcompress.strict.files import of_the_system

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.data.sample import DataSource, Sample
    from hcompress.spec.preprocessing import Preprocessing


GROUP_PIXELS = 4_000_000
"""Images beyond which no more are held at once."""
Chunk = TypeVar("Chunk")
Made = TypeVar("Made")


class Batch(NamedTuple):
    images: NDArray[np.uint8]
    """N x height x width x 3 (RGB)."""
    texts: list[str]
    indices: list[int]


def cut(items: Sequence[Chunk], batch_size: int) -> list[Sequence[Chunk]]:
    """The items in batches of ``batch_size``; the last one may be short."""
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    return [items[start : start + batch_size] for start in range(0, len(items), batch_size)]


def shard(indices: Sequence[int], rank: int, world: int, batch_size: int) -> Sequence[int]:
    """The indices of the whole batches that are ``rank``'s: batch b belongs to b % world.

    Batches are cut before they are dealt out, so that one process and many see the same batches;
    dealt by index, every index is in exactly one rank's share. The last batch may be short.
    """
    if not 0 <= rank < world or batch_size < 1:
        raise ValueError(f"rank {rank} of {world}, batches of {batch_size}")
    if world == 1:
        return indices
    starts = range(rank * batch_size, len(indices), world * batch_size)
    return [index for start in starts for index in indices[start : start + batch_size]]


class _Batches:
    """Indices to a batch, in whatever process calls it."""

    def __init__(self, source: DataSource, preprocessing: Preprocessing) -> None:
        self._source = source
        self._preprocessing = preprocessing

    def __call__(self, indices: Sequence[int]) -> Batch:
        samples = [self._source[index] for index in indices]
        return collated(samples, indices, self._preprocessing)


def collated(samples: Sequence[Sample], indices: Sequence[int], size: Preprocessing) -> Batch:
    """The samples fitted to the input, which is as wide as the widest of them asks for."""
    width = max((size.width_of(*one.image.shape[:2]) for one in samples), default=size.width)
    images = np.empty((len(samples), size.height, width, 3), np.uint8)
    for place, sample in enumerate(samples):
        images[place] = fit(sample.image, size.height, width)
    return Batch(images, [sample.text for sample in samples], list(indices))


def batches(
    source: DataSource,
    indices: Sequence[int],
    batch_size: int,
    preprocessing: Preprocessing,
    workers: int = 0,
) -> Iterator[Batch]:
    """The samples at ``indices``, in that order, fitted to the input and cut into batches.

    ``workers`` processes prepare batches ahead; 0 makes them inline. The content and the order
    are the same for any number. Raises what the source raises, workers included, and
    EnvironmentFailed where a worker was killed.
    """
    return map_chunks(_Batches(source, preprocessing), cut(indices, batch_size), workers)


class _Samples:
    """An index to a sample, in whatever process calls it."""

    def __init__(self, source: DataSource) -> None:
        self._source = source

    def __call__(self, index: int) -> Sample:
        return self._source[index]


def each_sample(source: DataSource, indices: Sequence[int], workers: int = 0) -> Iterator[Sample]:
    """The samples at ``indices``, in that order, their images as they are; raises as `batches`."""
    return map_chunks(_Samples(source), indices, workers)


def in_groups(
    items: Iterable[Made], image: Callable[[Made], NDArray[np.uint8]], most: int
) -> Iterator[list[Made]]:
    """``most`` items at a time, or fewer if their images are large.

    Sixteen of the largest images would take 2 GiB.
    """
    group: list[Made] = []
    pixels = 0
    for item in items:
        group.append(item)
        pixels += image(item).shape[0] * image(item).shape[1]
        if len(group) == most or pixels >= GROUP_PIXELS:
            yield group
            group, pixels = [], 0
    if group:
        yield group


class _Failure(NamedTuple):
    """An error of a worker, handed over as data: unpickling would lose its kind and its line."""

    kind: type[HcompressError]
    message: str


class _Mapped(Generic[Chunk, Made]):
    """A map-style dataset: entry i is the function's value for chunk i."""

    def __init__(self, function: Callable[[Chunk], Made], chunks: Sequence[Chunk]) -> None:
        self._function = function
        self._chunks = chunks

    def __len__(self) -> int:
        return len(self._chunks)

    def __getitem__(self, number: int) -> Made | _Failure:
        try:
            return self._function(self._chunks[number])
        except HcompressError as error:
            return _Failure(type(error), str(error))
        except OSError as error:
            found = of_the_system(error)
            return _Failure(type(found), str(found))


def map_chunks(
    function: Callable[[Chunk], Made], chunks: Sequence[Chunk], workers: int
) -> Iterator[Made]:
    """``function`` of every chunk, in order, made ahead by processes of one thread each.

    Inline where ``workers`` is 0 or there is but one chunk. ``function`` must be picklable.
    """
    if workers < 1 or len(chunks) < 2:
        yield from map(function, chunks)
        return
    for made in _in_processes(_Mapped(function, chunks), workers):
        if isinstance(made, _Failure):
            raise made.kind(made.message)
        yield made


def _in_processes(mapped: _Mapped[Chunk, Made], workers: int) -> Iterator[Made | _Failure]:
    import torch
    from torch.utils.data import DataLoader

    loader = DataLoader(
        cast("torch.utils.data.Dataset[Made | _Failure]", mapped),
        batch_size=None,
        shuffle=False,
        num_workers=min(workers, len(mapped)),
        collate_fn=_as_it_is,
        worker_init_fn=_end_with_parent,
        prefetch_factor=4,
        # Its own: from the global one it would draw a seed, and shift what training draws next.
        generator=torch.Generator(),
    )
    try:
        yield from loader
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise EnvironmentFailed(
            f"a data worker was killed ({error}); out of memory? take fewer workers"
        ) from None


_PR_SET_PDEATHSIG = 1


def _end_with_parent(_worker: int) -> None:
    """Linux ends this process when its parent ends.

    torch's own watch is not enough: a worker whose parent was killed waits for ever to hand over
    batches through a pipe that nobody but itself reads.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _as_it_is(made: Any) -> Any:
    return made
