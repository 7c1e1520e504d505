"""Who is read with whom, and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcompress.serve.batcher import MOST_WIDE, Batcher, Waiting, bucket_of
from hcompress.serve.refused import Refused


def waiting(
    name: str, bucket: int = 0, arrived: float = 0.0, deadline: float = 9.0
) -> Waiting[str]:
    return Waiting(name, bucket, arrived, deadline)


def names(batch: list[Waiting[str]]) -> str:
    return "".join(one.item for one in batch)


@pytest.mark.parametrize(
    ("height", "width", "bucket"),
    [(48, 1, 0), (48, 192, 0), (48, 193, 1), (48, 384, 1), (48, 385, 2), (1, 4_000_000, 20)],
)
def test_buckets_double(height: int, width: int, bucket: int) -> None:
    assert bucket_of(height, width) == bucket


def test_first_come_first_read_up_to_a_batch() -> None:
    batcher = Batcher[str](queue=9, batch=2)
    batcher.put([waiting(name) for name in "abc"])
    assert [names(batcher.take(0)) for _ in range(3)] == ["ab", "c", ""]
    assert len(batcher) == 0


def test_widths_are_not_mixed_and_none_is_passed_over() -> None:
    batcher = Batcher[str](queue=9, batch=9)
    batcher.put([waiting("a", 0, 1), waiting("B", 2, 2), waiting("c", 0, 3)])
    assert [names(batcher.take(4)) for _ in range(2)] == ["ac", "B"]


def test_wide_lines_make_small_batches() -> None:
    batcher = Batcher[str](queue=99, batch=99)
    batcher.put([waiting("x", 5) for _ in range(9)] + [waiting("y", 30) for _ in range(2)])
    assert [len(batcher.take(0)) for _ in range(5)] == [MOST_WIDE // 32] * 2 + [1] * 3


def test_a_batch_waits_until_it_is_full_or_its_first_has_waited() -> None:
    batcher = Batcher[str](queue=9, batch=2, wait=1.0)
    batcher.put([waiting("a", arrived=5.0)])
    assert batcher.take(5.9) == []
    assert batcher.due() == 6.0
    assert names(batcher.take(6.0)) == "a"
    batcher.put([waiting("b", arrived=7.0), waiting("c", arrived=7.0)])
    assert names(batcher.take(7.0)) == "bc"
    assert batcher.due() is None


def test_a_full_queue_takes_all_of_a_request_or_nothing() -> None:
    batcher = Batcher[str](queue=3, batch=2)
    batcher.put([waiting("a"), waiting("b")])
    with pytest.raises(Refused, match="2 images wait already"):
        batcher.put([waiting("c"), waiting("d")])
    batcher.put([waiting("e")])
    assert names(batcher.take(0) + batcher.take(0)) == "abe"


def test_who_has_gone_is_not_read() -> None:
    batcher = Batcher[str](queue=3, batch=2)
    batcher.put([waiting("a", deadline=1), waiting("b", deadline=3), waiting("c", 1, deadline=1)])
    assert names(batcher.late(1)) == "ac"
    assert len(batcher) == 1
    assert names(batcher.take(2)) == "b"


@given(
    st.lists(st.tuples(st.integers(0, 9), st.floats(0, 5), st.floats(0, 9)), max_size=40),
    st.integers(1, 8),
    st.floats(0, 3),
)
def test_everything_comes_out_once(
    lines: list[tuple[int, float, float]], batch: int, wait: float
) -> None:
    batcher = Batcher[int](queue=99, batch=batch, wait=wait)
    batcher.put([Waiting(n, bucket, at, end) for n, (bucket, at, end) in enumerate(lines)])
    found = batcher.late(4.0)
    while taken := batcher.take(100.0):
        assert len({one.bucket for one in taken}) == 1
        assert len(taken) <= batch
        found += taken
    assert sorted(one.item for one in found) == list(range(len(lines)))
    assert len(batcher) == 0
