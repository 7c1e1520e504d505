"""Batches of lines about as wide as each other: the same from every step on."""

from __future__ import annotations

import numpy as np
import pytest

from hcompress.data.batches import Batch
from hcompress.data.sample import Sample
from hcompress.data.widths import WINDOW, batches_by_width
from hcompress.errors import InputRefused
from hcompress.spec.preprocessing import AnyWidth, Preprocessing

SIZE = AnyWidth(height=16, width=128, bucket=32)
STEPS, BATCH = WINDOW + 3, 4


class Widths:
    """A line is as wide as chance has it."""

    digest = "0" * 64

    def __len__(self) -> int:
        return STEPS * BATCH

    def __getitem__(self, index: int) -> Sample:
        width = int(np.random.default_rng(index).integers(1, 160))
        return Sample(np.full((16, width, 3), index, np.uint8), str(index))


def made(first: int, workers: int = 0) -> list[Batch]:
    def indices(start: int, end: int) -> range:
        return range(start * BATCH, end * BATCH)

    source = Widths()
    return list(batches_by_width(source, indices, BATCH, (first, STEPS), SIZE, workers, seed=1))


def test_every_line_comes_once_in_a_batch_of_its_width() -> None:
    found = made(0)
    assert len(found) == STEPS
    assert sorted(i for batch in found for i in batch.indices) == list(range(STEPS * BATCH))
    for batch in found:
        widths = [SIZE.width_of(*Widths()[i].image.shape[:2]) for i in batch.indices]
        assert batch.images.shape == (BATCH, 16, max(widths), 3)
        assert (batch.images[:, 0, 0, 0] == batch.indices).all()
        assert batch.texts == [str(i) for i in batch.indices]
    spread = [np.ptp([SIZE.width_of(*Widths()[i].image.shape[:2]) for i in b.indices])
              for b in found[:WINDOW]]  # fmt: skip
    assert max(spread) <= 2 * SIZE.bucket


@pytest.mark.parametrize(("first", "workers"), [(3, 0), (WINDOW + 1, 0), (2, 2)])
def test_they_are_the_same_from_every_step_on(first: int, workers: int) -> None:
    whole, rest = made(0)[first:], made(first, workers)
    assert [b.indices for b in rest] == [b.indices for b in whole]
    assert all((a.images == b.images).all() for a, b in zip(rest, whole, strict=True))


def test_widths_are_whole_buckets_up_to_the_most() -> None:
    assert [SIZE.width_of(16, width) for width in (1, 32, 33, 128, 5000)] == [32, 32, 64, 128, 128]
    assert SIZE.width_of(32, 128) == 64
    assert Preprocessing().width_of(16, 5000) == 160
    with pytest.raises(InputRefused, match="bucket = 48"):
        AnyWidth(width=128, bucket=48)
