"""What we write is an LMDB to liblmdb as well, which reads it and goes on writing in it."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcompress.data.btree import BTree
from hcompress.data.btree_writer import FIRST_PAGE, PAGE, Tree, TreeWriter

SIZES = st.one_of(st.integers(0, 300), st.sampled_from([2010, 2015, 2016, 2017, 4079, 4080, 9000]))


def written(folder: Path, entries: dict[bytes, bytes], every: int = 10**9) -> Path:
    folder.mkdir()
    with (folder / "data.mdb").open("wb") as stream:
        stream.write(bytes(FIRST_PAGE * PAGE))
        writer = TreeWriter(stream, FIRST_PAGE, Tree())
        for number, key in enumerate(sorted(entries)):
            if number % every == every - 1:
                writer.end_leaf()
            writer.put(key, entries[key])
        writer.finish()
    return folder


def check(folder: Path, entries: dict[bytes, bytes]) -> None:
    tree = BTree(folder / "data.mdb")
    assert len(tree) == len(entries)
    assert all(tree.get(key) == value for key, value in entries.items())
    with lmdb.open(str(folder), readonly=True, lock=False) as opened, opened.begin() as reading:
        assert dict(reading.cursor()) == entries
        assert list(reading.cursor().iternext(values=False)) == sorted(entries)
        stat = opened.stat()
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        assert pages + FIRST_PAGE == opened.info()["last_pgno"] + 1
    assert (folder / "data.mdb").stat().st_size == (pages + FIRST_PAGE) * PAGE


@settings(max_examples=15)
@given(st.lists(SIZES, max_size=60), st.sampled_from([1, 2, 7, 10**9]))
def test_liblmdb_reads_it(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], every: int
) -> None:
    entries = {b"image-%09d" % n: bytes([n]) * size for n, size in enumerate(sizes)}
    check(written(tmp_path_factory.mktemp("tree") / "d", entries, every), entries)


@pytest.mark.parametrize(
    ("leaves", "length"), [(1, 0), (2, 0), (156, 0), (157, 0), (158, 0), (313, 0), (1200, 480)]
)
def test_levels_of_branches(leaves: int, length: int, tmp_path: Path) -> None:
    entries = {b"image-%09d" % n + b"k" * length: b"%d" % n for n in range(leaves)}
    check(written(tmp_path / "d", entries, every=1), entries)


def test_liblmdb_goes_on_writing_in_it(tmp_path: Path) -> None:
    entries = {b"image-%09d" % n: bytes(n) for n in range(3000)}
    folder = written(tmp_path / "d", entries)
    with lmdb.open(str(folder), map_size=2**26) as opened:
        with opened.begin(write=True) as writing:
            for n in range(0, 3000, 2):
                writing.delete(b"image-%09d" % n)
            for n in range(3000, 3500):
                writing.put(b"image-%09d" % n, b"new")
        with opened.begin() as reading:
            found = dict(reading.cursor())
    kept = {key: value for key, value in entries.items() if int(key[6:]) % 2}
    assert found == kept | {b"image-%09d" % n: b"new" for n in range(3000, 3500)}
