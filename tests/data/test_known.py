"""Labels are held against the charset before the first step, all of them at once."""

from __future__ import annotations

from pathlib import Path

import lmdb
import pytest

from hcompress.charset import UnknownCharacter
from hcompress.data import open_data
from hcompress.data.known import check_labels, check_lengths
from hcompress.data.render.source import RenderedSource
from hcompress.data.render.spec import TextSpec
from hcompress.errors import InputRefused

REFUSE, SKIP = UnknownCharacter.REFUSE, UnknownCharacter.SKIP_LINE
TEXTS = ["12", "3", "a4", "5", "6b", "7a"]


def label_file(folder: Path, texts: list[str]) -> Path:
    """Without images: they are none of a check's business."""
    path = folder / "l.txt"
    path.write_text("".join(f"no.png\t{text}\n" for text in texts), encoding="utf-8")
    return path


def scene_text(folder: Path, texts: list[str]) -> Path:
    with lmdb.open(str(folder), map_size=2**20) as opened, opened.begin(write=True) as writing:
        for number, text in enumerate(texts, 1):
            writing.put(b"image-%09d" % number, b"broken")
            writing.put(b"label-%09d" % number, text.encode())
        writing.put(b"num-samples", b"%d" % len(texts))
    return folder


def test_every_label_is_named_with_its_line(tmp_path: Path) -> None:
    source = open_data(label_file(tmp_path, TEXTS))
    with pytest.raises(InputRefused, match=r"^3 of 6 labels .* charset of 10: 'a' .*, 'b' ") as why:
        check_labels(source, "0123456789", REFUSE)
    where = [f"{tmp_path / 'l.txt'}, line {n}: {TEXTS[n - 1]!r}" for n in (3, 5, 6)]
    assert str(why.value).endswith("; ".join(where))
    check_labels(source, "0123456789", SKIP)
    check_labels(source, "0123456789ab", REFUSE)
    check_labels(source, "0123456789", REFUSE, [0, 1, 3])
    with pytest.raises(InputRefused, match="1 of 2 labels"):
        check_labels(source, "0123456789", REFUSE, [4, 3])


def test_every_label_of_an_lmdb_is_named_with_its_key(tmp_path: Path) -> None:
    source = open_data(scene_text(tmp_path / "d", TEXTS))
    with pytest.raises(InputRefused, match=r"3 of 6 .*label-000000003: 'a4'; .*label-000000005"):
        check_labels(source, "0123456789", REFUSE)


def test_thousands_are_counted(tmp_path: Path) -> None:
    source = open_data(label_file(tmp_path, ["新"] * 3000))
    with pytest.raises(InputRefused, match=r"3,000 of 3,000 labels.*; and 2,950 more$"):
        check_labels(source, "0123456789", REFUSE)


def test_labels_that_are_all_too_long_are_refused(tmp_path: Path) -> None:
    source = open_data(label_file(tmp_path, ["123", "1234"]))
    check_lengths(source, 3)
    with pytest.raises(InputRefused, match=r"all 2 labels .* max_steps = 3 .*line 1: '123'"):
        check_lengths(source, 2)


def test_single_characters_are_single(tmp_path: Path) -> None:
    source = open_data(label_file(tmp_path, ["1", "12"]))
    check_labels(source, "012", REFUSE)
    with pytest.raises(InputRefused, match=r"1 of 2 labels are not of one .*line 2: '12'"):
        check_labels(source, "012", REFUSE, single=True)


def test_rendered_lines_are_asked_what_they_draw() -> None:
    source = RenderedSource(TextSpec(seed=1, count=9, characters=tuple("abc")))
    check_labels(source, "abcd", REFUSE)
    with pytest.raises(InputRefused, match=r"rendered lines: 'c' \(U\+0063\): not in the charset"):
        check_labels(source, "ab", REFUSE)
    check_labels(source, "ab", SKIP)
