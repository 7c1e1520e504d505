"""Characters, ids, charset files and their packed form."""

from __future__ import annotations

import base64
import os
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcompress.charset import check_characters, pack_charset, read_charset, unpack_charset
from hcompress.errors import InputRefused, UsageError
from hcompress.spec.header import ModelMetadata, Provenance
from hcompress.spec.vocabulary import Vocabulary
from tests import ROOT
from tests.builders import SOFTMAX
from tests.special import EOS, PAD, SPECIALS

CHARSETS = ROOT / "recipes" / "charsets"


@given(st.lists(st.characters(exclude_categories=["Cs"]), unique=True, max_size=300))
def test_packing_keeps_every_charset(characters: list[str]) -> None:
    assert unpack_charset(pack_charset(characters)) == tuple(characters)


@given(st.text(alphabet="abc漢", max_size=20))
def test_decoding_undoes_encoding(text: str) -> None:
    vocabulary = Vocabulary("abc漢")
    assert vocabulary.decode([*vocabulary.encode(text), EOS, 3, PAD]) == text


@pytest.mark.parametrize(
    ("characters", "named"),
    [
        ("", ["empty"]),
        ("aba", ["twice", "'a'", "place 0", "place 2"]),
        ("\u00c5x\u212b", ["NFC", "U+00C5", "U+212B"]),
        ("\ufeffab", ["byte order mark"]),
    ],
)
def test_a_bad_charset_names_its_offenders(characters: str, named: list[str]) -> None:
    with pytest.raises(InputRefused) as refusal:
        Vocabulary(characters)
    assert all(word in str(refusal.value) for word in named)


@pytest.mark.parametrize("characters", [["a", "bc"], ["x", "bc", ""], ["", "b"]])
def test_entries_are_single_code_points(characters: list[str]) -> None:
    with pytest.raises(InputRefused, match="not one code point"):
        Vocabulary(characters)


def test_the_place_of_an_odd_entry_is_named() -> None:
    with pytest.raises(InputRefused, match="entry 1"):
        Vocabulary(["a", "bc"])


def test_an_unknown_character_is_named_with_its_line() -> None:
    with pytest.raises(InputRefused, match=r"'ab\?'.*'\?' \(U\+003F\)"):
        Vocabulary("ab").encode("ab?")


def test_charset_files(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_bytes("ab\r\n漢\n".encode())
    assert read_charset(path) == ("a", "b", "漢")
    path.write_bytes(b"\xef\xbb\xbfab")
    with pytest.raises(InputRefused, match=r"c\.txt.*byte order mark"):
        read_charset(path)
    path.write_bytes(b"ab\xff")
    with pytest.raises(InputRefused, match="byte 2"):
        read_charset(path)
    with pytest.raises(UsageError):
        read_charset(tmp_path / "absent.txt")


def test_the_paper_s_charset_has_20948_characters_in_a_kilobyte() -> None:
    characters = read_charset(CHARSETS / "gbk21k.txt")
    assert len(characters) == 20_948
    assert len(Vocabulary(characters)) == 20_948 + SPECIALS
    assert len(pack_charset(characters)) < 1024
    for character in characters:
        character.encode("gbk")


def packed_bytes(*steps: int) -> str:
    return base64.b64encode(zlib.compress(bytes(steps))).decode()


@pytest.mark.parametrize(
    "packed",
    [
        "", "!", "AAAA", pack_charset("abc")[:-4], pack_charset("abc") + "AAAA",
        packed_bytes(0xC2), packed_bytes(0x80, 0x80), packed_bytes(3),
        packed_bytes(*[0xC2, 0x80, 0x80, 0x80, 0x80, 0x01]),
        packed_bytes(0xFE, 0xFF, 0xFF, 0xFF, 0x0F),
    ],
)  # fmt: skip
def test_damaged_packed_charsets_are_refused(packed: str) -> None:
    with pytest.raises(InputRefused):
        unpack_charset(packed)


def test_metadata_is_the_same_text_each_time_and_comes_back() -> None:
    metadata = ModelMetadata(SOFTMAX, Vocabulary("ab"), Provenance("half", "f" * 64))
    assert ModelMetadata.from_json(metadata.to_json()) == metadata
    assert metadata.to_json() == metadata.to_json()
    assert metadata.to_json().isascii()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format":2}', "[" * 100_000])
def test_hostile_metadata_is_refused(text: str) -> None:
    with pytest.raises(InputRefused):
        ModelMetadata.from_json(text)


def test_a_charset_file_is_a_file_of_a_charsets_size(tmp_path: Path) -> None:
    path = tmp_path / "charset.txt"
    os.mkfifo(path)
    with pytest.raises(UsageError, match="no such charset file"):
        read_charset(path)
    path.unlink()
    with path.open("wb") as file:
        file.truncate(9 << 20)
    with pytest.raises(InputRefused, match="larger than 8 MiB"):
        read_charset(path)


def test_all_pairs_that_collide_are_named_at_once() -> None:
    with pytest.raises(InputRefused) as why:
        check_characters(tuple("aÅ\u212b凉\uf979a郎\uf92c"))
    assert [pair in str(why.value) for pair in ("U+212B", "U+F979", "'a' (U+0061, place 5)")] == (
        3 * [True]
    )
    assert str(why.value).count("; ") == 3
    with pytest.raises(InputRefused, match=r"; and 900 pairs more$"):
        check_characters(tuple("x" * 1001))
