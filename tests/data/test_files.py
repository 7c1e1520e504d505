"""LMDB and label files: round trips, and what is hostile or damaged is refused."""

import hashlib
import io
import os
import pickle
import random
import struct
import subprocess
import sys
import tempfile
import tracemalloc
import zlib
from pathlib import Path

import lmdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hcompress.data import labels, line_index, open_data
from hcompress.data.btree import MAX_VALUE, BTree
from hcompress.data.images import MAX_PIXELS, decode_image, read_image
from hcompress.data.labels import LabelFileSource
from hcompress.data.lmdb import LmdbSource
from hcompress.data.sample import label_of
from hcompress.data.source import open_images
from hcompress.errors import InputRefused, UsageError


def png(seed: int = 0, size: tuple[int, int] = (20, 30)) -> bytes:
    held = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(held, "PNG")
    return held.getvalue()


def make(folder: Path, entries: dict[bytes, bytes]) -> Path:
    opened = lmdb.open(str(folder), map_size=64 * 2**20)
    with opened as environment, environment.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key, value)
    (folder / "lock.mdb").unlink()
    return folder


def scene_text(folder: Path, count: int = 3, **changes: bytes | None) -> Path:
    entries: dict[bytes, bytes | None] = {b"num-samples": b"%d" % count}
    for number in range(1, count + 1):
        entries[b"image-%09d" % number] = png(number)
        entries[b"label-%09d" % number] = f"täxt {number}".encode()
    entries |= {key.replace("_", "-").encode(): value for key, value in changes.items()}
    return make(folder, {key: value for key, value in entries.items() if value is not None})


def test_lmdb_reads_what_liblmdb_wrote(tmp_path: Path) -> None:
    source = open_data(scene_text(tmp_path / "d", 40))
    assert isinstance(source, LmdbSource)
    assert len(source) == 40
    for index in range(40):
        assert source[index].text == f"täxt {index + 1}"
        np.testing.assert_array_equal(source[index].image, decode_image(png(index + 1), "x"))
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["data.mdb"]
    for index in (-1, 40):
        with pytest.raises(IndexError):
            source[index]


def test_lmdb_travels_to_workers_opened_or_not(tmp_path: Path) -> None:
    source = LmdbSource(scene_text(tmp_path / "d"))
    source[0]
    again = pickle.loads(pickle.dumps(source))
    assert again[1].text == source[1].text
    assert again.digest == source.digest


@settings(max_examples=15)
@given(
    st.dictionaries(
        st.binary(min_size=1, max_size=300), st.binary(max_size=20_000), min_size=1, max_size=60
    ),
    st.binary(min_size=1, max_size=300),
)
def test_btree_agrees_with_liblmdb(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[bytes, bytes], other: bytes
) -> None:
    folder = make(tmp_path_factory.mktemp("tree"), entries)
    tree = BTree(folder / "data.mdb")
    assert len(tree) == len(entries)
    for key, value in entries.items():
        assert tree.get(key) == value
    assert tree.get(other) == entries.get(other)


def test_btree_reads_many_keys_on_several_levels(tmp_path: Path) -> None:
    entries = {b"%06d" % (7919 * n % 10**6): b"v%d" % n for n in range(20_000)}
    tree = BTree(make(tmp_path / "d", entries) / "data.mdb")
    for key in random.Random(1).sample(sorted(entries), 500):
        assert tree.get(key) == entries[key]
        assert tree.get(key + b"x") is None
    assert tree.get(b"") is None
    assert tree.get(b"\xff") is None


def test_btree_after_deletions(tmp_path: Path) -> None:
    folder = make(tmp_path / "d", {b"%04d" % n: bytes(500) for n in range(2000)})
    opened = lmdb.open(str(folder), map_size=64 * 2**20)
    with opened as environment, environment.begin(write=True) as transaction:
        for number in range(0, 2000, 2):
            transaction.delete(b"%04d" % number)
    tree = BTree(folder / "data.mdb")
    assert len(tree) == 1000
    assert tree.get(b"0002") is None
    assert tree.get(b"0003") == bytes(500)


def test_empty_lmdb_is_no_scene_text(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="no num-samples"):
        open_data(make(tmp_path / "d", {}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_samples": None}, "no num-samples"),
        ({"num_samples": b"many"}, "num-samples is b'many'"),
        ({"num_samples": b"0"}, "num-samples is b'0'"),
        ({"num_samples": b"-3"}, "num-samples is b'-3'"),
        ({"num_samples": b"9" * 400}, "num-samples is"),
        ({"num_samples": b"4"}, "can't hold more than 3"),
    ],
)
def test_wrong_counts_are_refused(tmp_path: Path, changes: dict[str, bytes], said: str) -> None:
    with pytest.raises(InputRefused, match=said):
        open_data(scene_text(tmp_path / "d", **changes))


def test_wrong_entries_are_refused_by_name(tmp_path: Path) -> None:
    folder = scene_text(
        tmp_path / "d",
        4,
        image_000000001=b"\x89PNG broken",
        label_000000002=b"\xff\xfe",
        image_000000003=None,
        spare=b"keeps the number of entries",
    )
    source = open_data(folder)
    for index, said in enumerate(["image-000000001", "label-000000002: not UTF-8", "no image-00"]):
        with pytest.raises(InputRefused, match=said):
            source[index]
    assert source[3].text == "täxt 4"


def test_folders_and_suffixes_that_are_no_data(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such data"):
        open_data(tmp_path / "nowhere")
    with pytest.raises(InputRefused, match=r"without data\.mdb"):
        open_data(tmp_path)
    (tmp_path / "x.csv").write_text("")
    with pytest.raises(UsageError, match="unknown kind"):
        open_data(tmp_path / "x.csv")


def exercise(folder: Path) -> None:
    source = open_data(folder)
    for index in range(min(len(source), 50)):
        source[index]


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = (scene_text(tmp_path / "d", 12) / "data.mdb").read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    for size in [0, 1, 15, 16, 167, 168, 4095, 4096, 8191, 8192, *range(9000, len(whole), 4001)]:
        (cut / "data.mdb").write_bytes(whole[:size])
        with pytest.raises(InputRefused):
            exercise(cut)


def test_cut_short_while_open(tmp_path: Path) -> None:
    folder = scene_text(tmp_path / "d", 12)
    source = open_data(folder)
    os.truncate(folder / "data.mdb", 8192)
    with pytest.raises(InputRefused, match="cut short"):
        source[5]


def test_a_file_cut_short_is_refused_when_opened(tmp_path: Path) -> None:
    """Not when the first image is missed: by then a run may have taken hours."""
    path = scene_text(tmp_path / "d", 12) / "data.mdb"
    whole = path.read_bytes()
    for size in (len(whole) - 1, len(whole) - 4095, len(whole) - 4096, len(whole) - 4097):
        os.truncate(path, size)
        said = f"cut short: {size} bytes, but its pages take {len(whole)}"
        with pytest.raises(InputRefused, match=said):
            BTree(path)


def test_cut_short_within_a_page_while_open(tmp_path: Path) -> None:
    path = scene_text(tmp_path / "d", 12) / "data.mdb"
    source = open_data(path.parent)
    whole = path.read_bytes()
    for size in range(8193, len(whole), 1000):
        os.truncate(path, size)
        with pytest.raises(InputRefused, match="cut short at byte"):
            list(map(source.__getitem__, range(12)))
        path.write_bytes(whole)


LEAF, OVERFLOW = 2, 4


def page_of(kind: int, content: bytes | bytearray) -> int:
    """Where the last page of a kind begins."""
    flags = (struct.unpack_from("<H", content, at + 10)[0] for at in range(0, len(content), 4096))
    return max(4096 * n for n, found in enumerate(flags) if found & 0x4F == kind)


def one_value(folder: Path, size: int = 9000) -> tuple[Path, bytearray, int, int]:
    """An LMDB of one value on pages of its own; where those begin, and where its size stands."""
    value = bytes(0x48 + n % 7 for n in range(size))  # nothing in it looks like a page's kind
    path = make(folder, {b"k": value}) / "data.mdb"
    content = bytearray(path.read_bytes())
    leaf = page_of(LEAF, content)
    (node,) = struct.unpack_from("<H", content, leaf + 16)
    return path, content, page_of(OVERFLOW, content), leaf + node


@pytest.mark.parametrize("size", [1 << 16, (1 << 16) + 1, 200_000])
def test_values_of_more_than_64_kib(size: int, tmp_path: Path) -> None:
    path, content, pages, _ = one_value(tmp_path / "d", size)
    value = BTree(path).get(b"k")
    assert value == bytes(content[pages + 16 : pages + 16 + size])
    # As of a value of a quarter of a gigabyte: their number has 32 bits.
    struct.pack_into("<HH", content, pages + 12, 0, 1)
    path.write_bytes(content)
    assert BTree(path).get(b"k") == value


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (3 * 4096 - 15, "a value of 12273 bytes in 3 pages"),
        (1 << 16, "a value of 65536 bytes in 3 pages"),
        (MAX_VALUE, f"a value of {MAX_VALUE} bytes in 3 pages"),
        (MAX_VALUE + 1, f"a value of {MAX_VALUE + 1} bytes;"),
        ((1 << 32) - 1, "a value of 4294967295 bytes;"),
    ],
)
def test_values_larger_than_their_pages(size: int, said: str, tmp_path: Path) -> None:
    path, content, pages, node = one_value(tmp_path / "d")
    struct.pack_into("<HH", content, node, size & 0xFFFF, size >> 16)
    path.write_bytes(content + bytes(4096 * 20))
    with pytest.raises(InputRefused, match=said):
        BTree(path).get(b"k")
    if size < MAX_VALUE:  # with as many pages as it asks for, of which the file has three
        struct.pack_into("<HH", content, pages + 12, 100, 0)
        path.write_bytes(content + bytes(4096 * 20))
        with pytest.raises(InputRefused, match="a page outside the file"):
            BTree(path).get(b"k")


@pytest.mark.parametrize("number", [0, 1 << 32, 1 << 51, 1 << 52, (1 << 63) // 4096, (1 << 64) - 2])
def test_pages_outside_the_file(number: int, tmp_path: Path) -> None:
    """Behind its last one too, where some other file may have been appended."""
    folder = make(tmp_path / "d", {b"%06d" % n: bytes(100) for n in range(2000)})
    content = bytearray((folder / "data.mdb").read_bytes())
    wanted = number or len(content) // 4096
    for meta in (0, 4096):
        struct.pack_into("<Q", content, meta + 16 + 24 + 48 + 40, wanted)
    (folder / "data.mdb").write_bytes(content + bytes(8192))
    with pytest.raises(InputRefused, match="a page outside the file"):
        BTree(folder / "data.mdb").get(b"000001")


def test_the_number_of_a_page_below_has_48_bits(tmp_path: Path) -> None:
    folder = make(tmp_path / "d", {b"%06d" % n: bytes(100) for n in range(2000)})
    content = bytearray((folder / "data.mdb").read_bytes())
    root = page_of(1, content)
    (node,) = struct.unpack_from("<H", content, root + 16)
    struct.pack_into("<H", content, root + node + 4, 1)  # 2^32 more
    (folder / "data.mdb").write_bytes(content)
    with pytest.raises(InputRefused, match="a page outside the file"):
        BTree(folder / "data.mdb").get(b"000000")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_count_that_the_entries_cant_hold(count: int, tmp_path: Path) -> None:
    """One entry too few is enough."""
    lacks = {f"label_{count:09d}": None}
    with pytest.raises(InputRefused, match=f"with {2 * count} entries it can't hold more"):
        open_data(scene_text(tmp_path / "d", count, **lacks))


def test_flipped_bytes_are_refused_or_harmless(tmp_path: Path) -> None:
    whole = (scene_text(tmp_path / "d", 12) / "data.mdb").read_bytes()
    bad = tmp_path / "bad"
    bad.mkdir()
    draw = random.Random(3)
    refused = 0
    for trial in range(300):
        content = bytearray(whole)
        # Headers, node tables and metas, where damage does most.
        page = draw.randrange(len(whole) // 4096) * 4096
        for _ in range(draw.choice((1, 1, 4))):
            place = page + (draw.randrange(200) if trial % 2 else draw.randrange(4096))
            content[place] = draw.randrange(256)
        (bad / "data.mdb").write_bytes(content)
        try:
            exercise(bad)
        except InputRefused:
            refused += 1
    assert refused > 25


def test_a_page_that_is_its_own_child_ends(tmp_path: Path) -> None:
    folder = make(tmp_path / "d", {b"%06d" % n: bytes(100) for n in range(2000)})
    content = bytearray((folder / "data.mdb").read_bytes())
    newer = 4096 * (content[16 + 152 - 24 : 16 + 152 - 16] < content[4096 + 144 : 4096 + 152])
    (root,) = struct.unpack_from("<Q", content, newer + 16 + 24 + 48 + 40)
    assert content[root * 4096 + 10] & 1, "a branch page"
    count = (struct.unpack_from("<H", content, root * 4096 + 12)[0] - 16) // 2
    for place in range(count):
        (node,) = struct.unpack_from("<H", content, root * 4096 + 16 + 2 * place)
        struct.pack_into("<HHH", content, root * 4096 + node, root, 0, 0)
    (folder / "data.mdb").write_bytes(content)
    with pytest.raises(InputRefused, match="deeper than"):
        BTree(folder / "data.mdb").get(b"000001")


def test_other_files_named_data_mdb(tmp_path: Path) -> None:
    for content in (b"", b"x" * 100_000, os.urandom(9000)):
        (tmp_path / "data.mdb").write_bytes(content)
        with pytest.raises(InputRefused, match="not an LMDB"):
            open_data(tmp_path)


def test_duplicate_databases_are_refused(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "d"), max_dbs=1) as environment:
        other = environment.open_db(b"num-samples", dupsort=True)
        with environment.begin(write=True) as transaction:
            transaction.put(b"a", b"b", db=other)
    with pytest.raises(InputRefused, match="duplicates"):
        open_data(tmp_path / "d")


# Label files


def labelled(folder: Path, content: str | bytes) -> Path:
    for number in (1, 2):
        (folder / f"{number}.png").write_bytes(png(number))
    path = folder / "labels.txt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_label_files_read(tmp_path: Path) -> None:
    path = labelled(tmp_path, "\ufeff1.png\tone\r\n\n  \n2.png\ta\tb \u2028c\n")
    source = open_data(path)
    assert [source[index].text for index in range(len(source))] == ["one", "a\tb \u2028c"]
    np.testing.assert_array_equal(source[1].image, decode_image(png(2), "x"))
    assert pickle.loads(pickle.dumps(source))[0].text == "one"


def test_label_digest_is_of_contents(tmp_path: Path) -> None:
    path = labelled(tmp_path, "1.png\tone\n2.png\ttwo\n")
    digest = open_data(path).digest
    path.write_text("./1.png\tone\n\n2.png\ttwo")
    assert open_data(path).digest == digest
    for other in ("1.png\tone\n2.png\ttoo", "2.png\ttwo\n1.png\tone", "1.png\tone"):
        path.write_text(other)
        assert open_data(path).digest != digest
    path.write_text("1.png\tone\n2.png\ttwo")
    (tmp_path / "2.png").write_bytes(png(3))
    assert open_data(path).digest != digest


def test_digests_are_what_they_have_always_been(tmp_path: Path) -> None:
    """Keys, evaluations and baselines hold them: by another recipe, all would count as stale."""

    def sha(*parts: bytes) -> str:
        return hashlib.sha256(b"".join(parts)).hexdigest()

    images = [hashlib.sha256(png(number)).digest() for number in (1, 2)]
    said = [len(text).to_bytes(8, "little") + text for text in (b"one", "zw\u00f6\tlf".encode())]
    path = labelled(tmp_path, "1.png\tone\n2.png\tzw\u00f6\tlf\n")
    pairs = zip(images, said, strict=True)
    assert open_data(path).digest == sha(b"hcompress label file 1\n", *sum(pairs, ()))
    path.unlink()
    assert open_images(tmp_path).digest == sha(b"hcompress image folder 1\n", *images)
    folder = scene_text(tmp_path / "d")
    assert open_data(folder).digest == sha((folder / "data.mdb").read_bytes())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "lists no image"),
        ("\n \n", "lists no image"),
        ("1.png\tone\n2.png two\n", "line 2: no tab"),
        ("1.png\t\n", "line 1: no text"),
        ("\tone\n", "line 1: no usable path"),
        ("a\0b.png\tone\n", "line 1: a zero byte"),
        ("1.png\tone\0\n", "line 1: a zero byte"),
        ("1.png\tone\r2.png\ttwo\r", "line 1: a carriage return within the line"),
        ("1.png\tone\r\r\n2.png\ttwo\r\r\n", "line 1: a carriage .*; so in lines 2$"),
        ("1.png\tone\n\n2.png\ttwo\rthree\n", "line 3: a carriage return"),
        ("1.png\tone\n2.png\n\n3.png\n", "line 2: no tab.*; so in lines 4$"),
        ("1.png\t" + "x" * 2**23 + "\n", "line 1: longer than 4 MiB"),
        ("1.png\tone\n" + "\0" * 2**23, "line 2: longer than 4 MiB"),
        (b"1.png\t\xff\n", "not UTF-8 at byte 6"),
    ],
)
def test_wrong_label_files_are_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(InputRefused, match=said):
        open_data(labelled(tmp_path, content))


PIECES = st.sampled_from(["\n", "\r\n", "\t", " ", "a", "新", "b.png\ttext\n", "c\té\r\n", "\n\n"])


@settings(max_examples=100)
@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from([7, 2**22]))
def test_lines_are_found_as_one_by_one(text: str, chunk: int) -> None:
    """Against the plain way to read such a file, in chunks of any size."""
    wanted, bad = [], None
    for number, line in enumerate(text.split("\n"), 1):
        path, tab, said = line.removesuffix("\r").partition("\t")
        if line.strip():
            wanted.append((number, path, said))
            if not (path and tab and said) or "\r" in said:
                bad = bad or number
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(line_index, "_CHUNK", chunk)
        file = Path(folder, "l.txt")
        file.write_bytes(text.encode())
        if bad or not wanted or max(map(len, text.encode().split(b"\n"))) >= chunk:
            with pytest.raises(InputRefused):
                LabelFileSource(file)
            return
        source = LabelFileSource(file)
        found = [source.label(index) for index in range(len(source))]
    assert found == [(said, f"{file}, line {number}") for number, _, said in wanted]


def test_a_label_file_takes_its_bytes_and_four_more_a_line(tmp_path: Path) -> None:
    path = tmp_path / "l.txt"
    path.write_bytes(b"a\tb\n" * 2**20)
    tracemalloc.start()
    source = LabelFileSource(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(source) == 2**20
    assert source.label(2**20 - 1) == ("b", f"{path}, line {2**20}")
    assert peak < 80 * 2**20
    with path.open("wb") as opened:
        opened.truncate(labels.MAX_FILE + 1)
    with pytest.raises(InputRefused, match="512 MiB, larger than 512: split it"):
        LabelFileSource(path)


@pytest.mark.parametrize("name", ["d", "l.txt", "t.toml"])
def test_pipes_and_folders_in_the_place_of_files_are_refused(name: str, tmp_path: Path) -> None:
    """At once: whoever opens a pipe waits for somebody to write into it."""
    path = tmp_path / name
    for make_one in (os.mkfifo, os.mkdir):
        place = path / "data.mdb" if name == "d" else path
        if name != "d" and make_one is os.mkdir:
            continue  # a folder of that name is looked into as an LMDB
        place.parent.mkdir(exist_ok=True)
        make_one(place)
        with pytest.raises((InputRefused, UsageError)):
            open_data(path)
        place.unlink() if make_one is os.mkfifo else place.rmdir()


@pytest.mark.timeout(20)
def test_an_lmdb_that_turns_into_a_pipe_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at it and its opening, or while a worker that opens it anew starts."""
    folder = scene_text(tmp_path / "d")
    source = pickle.loads(pickle.dumps(open_data(folder)))
    status = (folder / "data.mdb").stat()
    (folder / "data.mdb").unlink()
    os.mkfifo(folder / "data.mdb")
    with pytest.raises(InputRefused, match=r"data\.mdb: is a named pipe, not an LMDB"):
        source[0]
    monkeypatch.setattr("hcompress.data.btree.stat_of", lambda _: status)
    with pytest.raises(InputRefused, match=r"data\.mdb: is a named pipe, not an LMDB"):
        BTree(folder / "data.mdb")


def test_what_is_no_lmdb_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To open a device may be to set it going."""
    os.mkfifo(tmp_path / "data.mdb")
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("opened"))
    with pytest.raises(InputRefused, match=r"data\.mdb: is a named pipe, not an LMDB"):
        BTree(tmp_path / "data.mdb")


def test_labels_are_told_without_images(tmp_path: Path) -> None:
    folder = scene_text(tmp_path / "d", image_000000001=b"broken")
    assert open_data(folder).label(0) == ("täxt 1", f"{folder}: label-000000001")
    path = labelled(tmp_path, "no.png\tone\n\n2.png\ttwo\n")
    assert label_of(LabelFileSource(path), 1) == ("two", f"{path}, line 3")


def test_missing_and_broken_images_name_their_line(tmp_path: Path) -> None:
    path = labelled(tmp_path, "1.png\tone\nno.png\ttwo\nlabels.txt\tthree\n")
    source = LabelFileSource(path)
    with pytest.raises(InputRefused, match=r"line 2: .*no\.png: no such image"):
        source[1]
    with pytest.raises(InputRefused, match=r"line 3: .*not a readable image"):
        source[2]
    with pytest.raises(InputRefused, match="line 2: "):
        _ = source.digest


# Images


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    held = io.BytesIO()
    image.save(held, kind, **options)
    return held.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF"])
def test_formats_read_as_rgb(kind: str) -> None:
    image = decode_image(saved(Image.new("RGB", (30, 20), (250, 10, 10)), kind), "x")
    assert image.shape == (20, 30, 3)
    assert image.dtype == np.uint8
    assert image[0, 0, 0] > 200 > 60 > image[0, 0, 1]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_modes_read_as_rgb(mode: str) -> None:
    kind = "TIFF" if mode == "CMYK" else "PNG"
    assert decode_image(saved(Image.new(mode, (9, 7)), kind), "x").shape == (7, 9, 3)


def test_sixteen_bits_are_scaled_and_transparency_is_white() -> None:
    deep = Image.fromarray(np.full((4, 4), 0x8000, np.uint16))
    assert (decode_image(saved(deep, "PNG"), "x") == 0x80).all()
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert (decode_image(saved(clear, "PNG"), "x") == 255).all()


def test_exif_turns_the_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = saved(Image.new("RGB", (30, 20)), "JPEG", exif=exif.tobytes())
    assert decode_image(turned, "x").shape == (30, 20, 3)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_the_largest_image_leaves_room_for_torch(tmp_path: Path) -> None:
    """A hostile file may not take a reader of checkpoints, some 340 MB by itself, past 1 GiB."""
    path = tmp_path / "large.png"
    side = int(MAX_PIXELS**0.5)
    Image.new("RGBA", (side, side)).save(path)
    code = (
        "import re; from pathlib import Path;"
        "from hcompress.data.images import read_image;"
        f"read_image(Path({str(path)!r}));"
        # Not getrusage: its maximum begins with that of the process which started this one.
        "status = Path('/proc/self/status').read_text();"
        "print(int(re.search(r'VmHWM:\\s+([0-9]+) kB', status)[1]) >> 10)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 650


def test_what_is_no_image_is_refused_by_name() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    for data in (b"", b"hello", eps, png()[:60], saved(Image.new("RGB", (99, 99)), "JPEG")[:300]):
        with pytest.raises(InputRefused, match=r"^here\.png: not a readable image"):
            decode_image(data, "here.png")


def test_damaged_images_are_refused_or_read() -> None:
    draw = random.Random(5)
    kinds = ["PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF"]
    files = [saved(Image.new("RGB", (40, 30), (9, 99, 200)), kind) for kind in kinds]
    told = []
    for trial in range(1400):
        content = bytearray(files[trial % len(files)])
        for _ in range(draw.choice((1, 3))):
            content[draw.randrange(len(content))] = draw.randrange(256)
        try:
            decode_image(bytes(content), "x")
        except InputRefused as error:
            told.append(str(error))
    assert told
    assert not any("\n" in line for line in told)


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        tail = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + tail

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_pixel_bombs_are_refused_before_unpacking() -> None:
    for width, height in ((MAX_PIXELS + 1, 1), (60_000, 60_000), (2**31 - 1, 2**31 - 1)):
        with pytest.raises(InputRefused, match=r"^x: "):
            decode_image(bomb(width, height), "x")


def test_read_image_names_missing_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such image file"):
        read_image(tmp_path / "no.png")
    with pytest.raises(UsageError, match="no such image file"):
        read_image(tmp_path)
