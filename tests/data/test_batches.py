"""Batches: cut by index, the same for any number of processes, errors intact."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hcompress.data.batches import batches, map_chunks, shard
from hcompress.data.preprocess import fit, pad_right
from hcompress.data.render.source import RenderedSource
from hcompress.data.render.spec import CHARSETS, Degradation, TextSpec
from hcompress.data.sample import Sample
from hcompress.errors import EnvironmentFailed, InputRefused
from hcompress.spec.preprocessing import Preprocessing
from tests import ROOT

SIZE = Preprocessing()
SOURCE = RenderedSource(
    TextSpec(seed=1, count=64, characters=tuple(CHARSETS["latin"]), degradation=Degradation(0.5))
)


class Broken:
    """A source whose fourth sample is damaged, or whose reader dies."""

    digest = "0" * 64

    def __init__(self, how: str) -> None:
        self.how = how
        self.parent = os.getpid()

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Sample:
        if index == 4 and self.how == "refused":
            raise InputRefused("data.mdb: image-000000005: not a readable image")
        if index == 4 and self.how == "disk":
            raise OSError(errno.EIO, "Input/output error", "/d/a.png")
        if index == 4 and self.how == "bug":
            raise ZeroDivisionError("a bug of ours")
        if index == 4 and os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return Sample(np.zeros((48, 160, 3), np.uint8), str(index))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int) -> None:
    order = [5, 3, 60, 1, 1, 22, 40, 7, 9, 11]
    inline = list(batches(SOURCE, order, 4, SIZE))
    made = list(batches(SOURCE, order, 4, SIZE, workers))
    assert [batch.indices for batch in made] == [order[:4], order[4:8], order[8:]]
    for one, other in zip(inline, made, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        assert one.texts == other.texts
        assert one.indices == other.indices


def test_workers_leave_torchs_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    list(batches(SOURCE, range(8), 2, SIZE, workers=1))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_keep_their_kind_and_their_line(workers: int) -> None:
    with pytest.raises(InputRefused) as caught:
        list(batches(Broken("refused"), range(8), 2, SIZE, workers))
    assert str(caught.value) == "data.mdb: image-000000005: not a readable image"
    if workers:
        with pytest.raises(EnvironmentFailed, match=r"^/d/a\.png: Input/output error$"):
            list(batches(Broken("disk"), range(8), 2, SIZE, workers))
    with pytest.raises(ZeroDivisionError):
        list(batches(Broken("bug"), range(8), 2, SIZE, workers))


def test_batches_before_a_fault_arrive() -> None:
    made = batches(Broken("refused"), range(8), 2, SIZE, workers=1)
    assert [next(made).texts, next(made).texts] == [["0", "1"], ["2", "3"]]


def test_a_killed_worker_is_an_environment_failure() -> None:
    with pytest.raises(EnvironmentFailed, match="worker"):
        list(batches(Broken("killed"), range(8), 2, SIZE, workers=1))


def test_nothing_gives_nothing_and_zero_is_refused() -> None:
    assert list(batches(SOURCE, [], 4, SIZE, workers=2)) == []
    with pytest.raises(ValueError, match="batch_size"):
        batches(SOURCE, [1], 0, SIZE)


def test_map_chunks_keeps_the_order() -> None:
    assert list(map_chunks(sum, [[1], [2, 3], [4]], workers=2)) == [1, 5, 4]


@given(
    st.integers(0, 300), st.integers(1, 5), st.integers(1, 64), st.integers(1, 5), st.integers(0, 9)
)
def test_shards_deal_whole_batches(
    count: int, world: int, batch_size: int, step: int, first: int
) -> None:
    indices = range(first, first + count * step, step)
    shares = [shard(indices, rank, world, batch_size) for rank in range(world)]
    assert sorted(index for share in shares for index in share) == list(indices)
    whole = [list(indices[at : at + batch_size]) for at in range(0, count, batch_size)]
    for number, batch in enumerate(whole):
        share = shares[number % world]
        place = number // world * batch_size
        assert list(share[place : place + batch_size]) == batch


def test_shard_refuses_ranks_that_are_not_there() -> None:
    for rank, world, size in ((1, 1, 1), (-1, 1, 1), (0, 0, 1), (0, 1, 0)):
        with pytest.raises(ValueError, match="rank"):
            shard(range(3), rank, world, size)


def test_fit_leaves_what_fits() -> None:
    image = SOURCE[0].image
    assert fit(image, 48, 160) is image


@given(st.integers(1, 120), st.integers(1, 400), st.integers(8, 64), st.integers(4, 200))
def test_fit_gives_the_size_asked_for(height: int, width: int, to: int, wide: int) -> None:
    image = np.full((height, width, 3), (9, 80, 200), np.uint8)
    fitted = fit(image, to, wide)
    assert fitted.shape == (to, wide, 3)
    assert (fitted == (9, 80, 200)).all()


def test_fit_keeps_the_aspect_and_pads_with_the_edge() -> None:
    image = np.zeros((24, 40, 3), np.uint8)
    image[:, 20:] = 200
    fitted = fit(image, 48, 160)
    assert (fitted[:, :36] == 0).all()
    assert (fitted[:, 44:] == 200).all()


def test_fit_squeezes_what_is_too_wide() -> None:
    image = np.zeros((48, 640, 3), np.uint8)
    image[:, 320:] = 255
    fitted = fit(image, 48, 160)
    assert fitted[0, 70, 0] == 0
    assert fitted[0, 90, 0] == 255


def test_padding_is_the_median_not_the_mean() -> None:
    image = np.zeros((5, 2, 3), np.uint8)
    image[0] = 255
    assert (pad_right(image, 4)[:, 2:] == 0).all()


@pytest.mark.parametrize("shape", [(48, 160), (0, 10, 3), (4, 4, 4)])
def test_fit_refuses_what_is_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="height x width x 3"):
        fit(np.zeros(shape, np.uint8), 48, 160)


def test_preprocessing_imports_no_torch() -> None:
    import subprocess
    import sys

    code = (
        "import sys, hcompress.data, hcompress.data.preprocess, hcompress.data.images,"
        " hcompress.data.lmdb, hcompress.data.labels, hcompress.data.render.source;"
        " assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends a child with its parent")
def test_no_worker_outlives_a_killed_parent() -> None:
    """Its pipe would be held open, and its memory, until somebody looked."""
    code = (
        "import os, signal; import numpy as np;"
        "from hcompress.data.batches import map_chunks;"
        "made = map_chunks(np.zeros, [1_000_000] * 40, 1); next(made);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
