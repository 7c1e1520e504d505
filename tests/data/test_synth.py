"""Writing LMDBs: exact, resumed after a kill, refused where it can't end well."""

import multiprocessing
import os
import shutil
import signal
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from hcompress.data import open_data, synth
from hcompress.data.render.source import RenderedSource
from hcompress.data.render.spec import CHARSETS, Degradation, TextSpec
from hcompress.data.sample import DataSource, Sample
from hcompress.data.synth import contact_sheet, write_lmdb
from hcompress.errors import EnvironmentFailed, InputRefused, UsageError
from hcompress.progress import NoProgress

SPEC = TextSpec(
    seed=1, count=90, characters=tuple(CHARSETS["latin"]), degradation=Degradation(noise=0.5)
)


class Steps(NoProgress):
    """Remembers what it was told; dies at a given count of samples."""

    def __init__(self, die_at: int | None = None) -> None:
        self.total = self.done = self.resumed = 0
        self.die_at = die_at

    def start(self, label: str, total: int, done: int = 0) -> None:
        assert label == "synth"
        self.total, self.done, self.resumed = total, done, done

    def advance(self, count: int = 1, note: str = "") -> None:
        assert not note
        self.done += count
        if self.die_at is not None and self.done >= self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synth, "CHUNK", 20)


def same(written: Path, source: DataSource, count: int) -> bool:
    read = open_data(written)
    return len(read) == count and all(
        read[index].text == source[index].text
        and np.array_equal(read[index].image, source[index].image)
        for index in range(count)
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_written_is_what_was_rendered(tmp_path: Path, workers: int) -> None:
    source = RenderedSource(SPEC)
    steps = Steps()
    written = write_lmdb(source, tmp_path / "a" / "d", workers, steps)
    assert written.samples == steps.done == steps.total == 90
    assert written.bytes == (tmp_path / "a" / "d" / "data.mdb").stat().st_size
    assert same(tmp_path / "a" / "d", source, 90)
    assert sorted(path.name for path in (tmp_path / "a").rglob("*")) == ["d", "data.mdb"]


def test_the_number_of_workers_leaves_no_trace(tmp_path: Path) -> None:
    for workers in (0, 1, 2):
        write_lmdb(RenderedSource(SPEC), tmp_path / str(workers), workers, NoProgress())
    assert len({open_data(tmp_path / str(workers)).digest for workers in (0, 1, 2)}) == 1


def test_a_count_takes_the_first(tmp_path: Path) -> None:
    source = RenderedSource(SPEC)
    write_lmdb(source, tmp_path / "d", 0, NoProgress(), count=7)
    assert same(tmp_path / "d", source, 7)
    for count in (0, 91):
        with pytest.raises(UsageError, match="source has 90"):
            write_lmdb(source, tmp_path / "e", 0, NoProgress(), count=count)


def write_and_die(folder: Path, die_at: int) -> None:
    synth.CHUNK = 20
    write_lmdb(RenderedSource(SPEC), folder, 0, Steps(die_at))


def test_a_killed_call_goes_on_where_it_was(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for die_at in (20, 60, 90):
        process = context.Process(target=write_and_die, args=(tmp_path / "d", die_at))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not (tmp_path / "d").exists()
    steps = Steps()
    written = write_lmdb(RenderedSource(SPEC), tmp_path / "d", 0, steps)
    assert written.resumed == steps.resumed == 90
    assert same(tmp_path / "d", RenderedSource(SPEC), 90)


def test_killed_at_its_very_start(tmp_path: Path) -> None:
    partial = tmp_path / "d.partial"
    partial.mkdir()
    (partial / "data.mdb").write_bytes(b"")
    write_lmdb(RenderedSource(SPEC), tmp_path / "d", 0, NoProgress(), count=5)
    assert len(open_data(tmp_path / "d")) == 5


def test_another_sources_half_is_not_gone_on_with(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    process = context.Process(target=write_and_die, args=(tmp_path / "d", 20))
    process.start()
    process.join()
    with pytest.raises(UsageError, match="half-written"):
        write_lmdb(RenderedSource(SPEC), tmp_path / "d", 0, NoProgress(), count=50)


def half(folder: Path, die_at: int = 60) -> Path:
    """What a call leaves that is killed after that many of 90 samples."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=write_and_die, args=(folder, die_at))
    process.start()
    process.join()
    return folder.with_name(folder.name + ".partial")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("whole") / "d"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synth, "CHUNK", 20)
        write_lmdb(RenderedSource(SPEC), folder, 0, NoProgress())
    return (folder / "data.mdb").read_bytes()


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return half(tmp_path_factory.mktemp("half") / "d")


def flipped(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path], object], int]] = {
    "none": (lambda _: None, 60),
    "cut in the middle": (lambda at: os.truncate(at / "data.mdb", 200_000), 20),
    "all cut off": (lambda at: os.truncate(at / "data.mdb", 0), 0),
    "bytes behind": (lambda at: (at / "data.mdb").open("ab").write(b"x" * 9999), 60),
    "no data": (lambda at: (at / "data.mdb").unlink(), 0),
    "a bit flipped early": (lambda at: flipped(at / "data.mdb", 0.1), 0),
    "a bit flipped late": (lambda at: flipped(at / "data.mdb", 0.99), 40),
    "no journal": (lambda at: (at / "journal").unlink(), 0),
    "a journal cut short": (lambda at: os.truncate(at / "journal", 300), 0),
    "a journal's bit": (lambda at: flipped(at / "journal", 0.9), 40),
    "a journal of zeros": (lambda at: (at / "journal").write_bytes(bytes(5000)), 0),
    "an older release's": (lambda at: [(at / "lock.mdb").touch(), (at / "journal").unlink()], 0),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_whatever_became_of_a_half_the_whole_has_the_same_bytes(
    kind: str, tmp_path: Path, whole: bytes, halved: Path
) -> None:
    shutil.copytree(halved, tmp_path / "d.partial")
    damage, left = DAMAGE[kind]
    damage(tmp_path / "d.partial")
    written = write_lmdb(RenderedSource(SPEC), tmp_path / "d", 0, NoProgress())
    assert written.resumed == left
    assert (tmp_path / "d" / "data.mdb").read_bytes() == whole
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["data.mdb"]


@pytest.mark.parametrize("name", ["data.mdb", "journal"])
def test_links_and_pipes_in_a_half_are_not_followed(name: str, tmp_path: Path) -> None:
    partial, precious = tmp_path / "d.partial", tmp_path / "precious"
    precious.write_text("mine")
    partial.mkdir()
    kinds: list[tuple[Callable[[Path], object], type[Exception]]] = [
        (lambda place: place.symlink_to(precious), OSError),
        (os.mkfifo, InputRefused),  # by its path, not as what can't be sought in
        (os.mkdir, OSError),
    ]
    for lay, error in kinds:
        lay(partial / name)
        with pytest.raises(error):
            write_lmdb(RenderedSource(SPEC), tmp_path / "d", 0, NoProgress())
        assert precious.read_text() == "mine"
        place = partial / name
        place.rmdir() if place.is_dir() else place.unlink()


def test_a_sample_of_sorted_data_is_by_chance(tmp_path: Path) -> None:
    class Sorted(Odd):
        def __len__(self) -> int:
            return 1000

        def __getitem__(self, index: int) -> Sample:
            return Sample(np.zeros((4, 4, 3), np.uint8), f"{index:04d}")

    write_lmdb(Sorted(), tmp_path / "d", 0, NoProgress(), count=30)
    read = open_data(tmp_path / "d")
    texts = [read[index].text for index in range(30)]
    assert texts == sorted(texts)
    assert texts[-1] > "0500"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(UsageError, match="exists"):
        write_lmdb(RenderedSource(SPEC), tmp_path / "d", 0, NoProgress())


def test_a_full_disk_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(EnvironmentFailed, match="needs about"):
        write_lmdb(RenderedSource(SPEC), tmp_path / "d", 0, NoProgress())
    assert not (tmp_path / "d").exists()


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    class Nosy(Steps):
        def advance(self, count: int = 1, note: str = "") -> None:
            super().advance(count, note)
            with pytest.raises(EnvironmentFailed, match="another run"):
                write_lmdb(RenderedSource(SPEC), tmp_path / "d", 0, NoProgress())

    write_lmdb(RenderedSource(SPEC), tmp_path / "d", 0, Nosy(), count=20)


def test_other_readers_find_the_convention(tmp_path: Path) -> None:
    write_lmdb(RenderedSource(SPEC), tmp_path / "d", 0, NoProgress(), count=3)
    opened = lmdb.open(str(tmp_path / "d"), readonly=True, lock=False)
    with opened as environment, environment.begin() as transaction:
        assert transaction.get(b"num-samples") == b"3"
        assert transaction.get(b"image-000000001")[:4] == b"\x89PNG"
        assert transaction.get(b"label-000000003").decode() == RenderedSource(SPEC)[2].text


class Odd:
    digest = "0" * 64

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Sample:
        return Sample(np.full((30 + index, 20 + index, 3), 99, np.uint8), "漢字"[: index % 3])


@pytest.mark.parametrize("source", [RenderedSource(SPEC), Odd()])
def test_contact_sheets(tmp_path: Path, source: DataSource) -> None:
    contact_sheet(source, tmp_path / "sheets" / "s.png", rows=2, columns=2)
    with Image.open(tmp_path / "sheets" / "s.png") as sheet:
        assert sheet.format == "PNG"
        assert sheet.width >= 2 * source[1].image.shape[1]
    with pytest.raises(UsageError, match="at least one"):
        contact_sheet(source, tmp_path / "t.png", rows=0)
