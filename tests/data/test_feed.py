"""Images of a source, dealt out over processes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcompress.data.batches import cut
from hcompress.data.feed import drawn_images
from hcompress.data.order import drawn
from hcompress.data.sample import Sample
from hcompress.progress import NoProgress
from hcompress.spec.preprocessing import Preprocessing

SIZE = Preprocessing(height=8, width=16)


class Numbers:
    """Images that hold their own index."""

    digest = "0" * 64

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        self.asked.append(index)
        return Sample(np.full((8, 16, 3), index, np.uint8), str(index))


class Tally(NoProgress):
    total = done = 0

    def start(self, label: str, total: int, done: int = 0) -> None:  # noqa: ARG002
        self.total = total

    def advance(self, count: int = 1, note: str = "") -> None:  # noqa: ARG002
        self.done += count


@given(st.integers(0, 30), st.integers(0, 40), st.integers(1, 7), st.integers(1, 4))
def test_processes_see_the_batches_that_one_would_see(
    count: int, images: int, batch: int, world: int
) -> None:
    source = Numbers(count)
    alone = drawn_images(source, images, batch, SIZE)
    whole = [seen.indices for seen in alone]
    assert whole == cut(list(drawn(source, images)), batch)
    assert alone.shares == (alone.images,) == (min(count, images),)
    feeds = [drawn_images(source, images, batch, SIZE, 0, rank, world) for rank in range(world)]
    for rank, feed in enumerate(feeds):
        assert [seen.indices for seen in feed] == whole[rank::world]
        assert feed.images == feed.shares[rank] == sum(map(len, whole[rank::world]))


def test_nothing_is_read_before_it_is_asked_for_and_twice_is_the_same() -> None:
    source = Numbers(9)
    feed = drawn_images(source, 7, 3, SIZE)
    assert not source.asked
    first, second = list(feed), list(feed)
    assert [len(seen.texts) for seen in first] == [3, 3, 1]
    assert [text for seen in first for text in seen.texts] == [str(i) for i in drawn(source, 7)]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
    assert next(iter(feed)).images.shape == (3, 8, 16, 3)


def test_a_batch_is_done_when_the_next_is_asked_for() -> None:
    tally = Tally()
    done = []
    for batch in drawn_images(Numbers(9), 7, 3, SIZE).watched("looking", tally):
        done.append((tally.done, len(batch.texts)))
    assert done == [(0, 3), (3, 3), (6, 1)]
    assert (tally.done, tally.total) == (7, 7)


def test_a_batch_holds_something() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        cut([1, 2], 0)
