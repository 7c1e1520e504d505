"""Data that shows every character as often as any other, Chinese ones included."""

import dataclasses
import string
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hcompress.charset import read_charset
from hcompress.data import open_data
from hcompress.data.batches import batches
from hcompress.data.render import lookalikes
from hcompress.data.render.draw import glyph
from hcompress.data.render.even import Deck, choose_face
from hcompress.data.render.fonts import DEBIAN_FONTS, Face, coverage
from hcompress.data.render.phrases import phrases
from hcompress.data.render.source import RenderedSource
from hcompress.data.render.spec import CHARSETS, Mode, TextSpec, read_spec
from hcompress.data.render.text import Alphabet
from hcompress.errors import EnvironmentFailed, InputRefused
from hcompress.spec.preprocessing import Preprocessing
from tests import ROOT
from tests.cjk_fonts import CJK_FACES, need, use_cjk_fonts

RECIPES = ROOT / "recipes"
SPECS = sorted((RECIPES / "data").glob("gbk21k-*.toml"))
LETTERS = tuple(CHARSETS["alphanumeric"])
EVEN = TextSpec(
    seed=5, count=10_000, characters=LETTERS, even=True, words=0.0, min_length=1, max_length=8
)
CHINESE = (*"0aZ", *"一丁七万丈三上下丌不与丏丐丑专且丕世丗丘丙业丛东丝丞")


def test_a_deck_holds_every_character_once_and_is_shuffled_anew() -> None:
    deck = Deck(LETTERS, 7)
    first, second = deck.deal(0, 62), deck.deal(62, 62)
    assert sorted(first) == sorted(second) == sorted(LETTERS)
    assert first != second
    assert Deck(LETTERS, 8).deal(0, 62) != first
    assert deck.deal(60, 5) == first[60:] + second[:3]


def test_single_characters_are_exactly_even() -> None:
    source = RenderedSource(dataclasses.replace(EVEN, mode=Mode.GLYPHS, glyph_width=32))
    samples = [source[index] for index in range(3 * 62)]
    assert set(Counter(sample.text for sample in samples).values()) == {3}
    assert {sample.image.shape for sample in samples} == {(48, 32, 3)}


def test_lines_show_every_character_about_as_often() -> None:
    source = RenderedSource(EVEN)
    counts = Counter("".join(source[index].text for index in range(1000)))
    mean = counts.total() / len(LETTERS)
    assert set(counts) == set(LETTERS)
    assert 0.6 * mean < min(counts.values()) <= max(counts.values()) < 1.5 * mean


def test_a_face_is_chosen_that_draws_the_whole_text() -> None:
    abc, ab = Alphabet.of("abc", ""), Alphabet.of("ab", "")
    whole, part = Face("whole", "p", "w"), Face("part", "p", "p")
    families = (((whole, abc),), ((part, ab),))
    rng = np.random.default_rng(1)
    assert {choose_face(rng, families, "abca")[0] for _ in range(20)} == {whole}
    assert {choose_face(rng, families, "ab")[0] for _ in range(40)} == {whole, part}
    d = Alphabet.of("d", "")
    face, _, text = choose_face(rng, (((part, ab),), ((whole, d),)), "adb")
    assert face == part
    assert set(text) <= {"a", "b"}
    assert len(text) == 3


def test_keys_that_say_nothing_leave_the_digest_as_it_was() -> None:
    silent = dataclasses.replace(EVEN, even=False)
    younger = {"even", "glyph_width", "max_width", "debian_fonts"}
    assert not younger & silent.canonical().keys()
    said = dataclasses.replace(silent, max_width=640, debian_fonts=False).canonical()
    assert {"max_width", "debian_fonts"} <= said.keys()
    assert {"even", "glyph_width"} <= dataclasses.replace(EVEN, glyph_width=32).canonical().keys()


def test_a_glyph_too_narrow_is_refused(tmp_path: Path) -> None:
    spec = tmp_path / "s.toml"
    spec.write_text("schema_version = 1\nseed = 1\ncount = 1\nglyph_width = 4\n", encoding="utf-8")
    with pytest.raises(InputRefused, match="glyph_width = 4: must be 16 to 160"):
        read_spec(spec)


def test_the_charset_leaves_out_sixteen_lookalikes() -> None:
    characters = read_charset(RECIPES / "charsets" / "gbk21k.txt")
    known = set(characters)
    left_out = [c for c in lookalikes.IDEOGRAPHS if c not in known]
    assert "".join(characters[:62]) == string.digits + string.ascii_uppercase + (
        string.ascii_lowercase
    )
    assert list(characters[62:]) == sorted(set(lookalikes.IDEOGRAPHS) - set(left_out))
    assert len(left_out) == 16
    for character in left_out:
        with pytest.raises(UnicodeEncodeError):
            character.encode("gb2312")


def test_the_charset_follows_from_the_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    ideographs = lookalikes.IDEOGRAPHS
    daily = [(a, b) for a, b in ("戌戍", "晝畫")]
    rare = [c for c in ideographs if not lookalikes._in_daily_use(c)]
    pairs = [(rare[2 * n], rare[2 * n + 1]) for n in range(20)]
    monkeypatch.setattr(lookalikes, "alike", lambda: [*daily, *pairs])
    charset = lookalikes.charset()
    assert len(charset) == 20_948
    assert set(ideographs) - set(charset) == {second for _, second in pairs[:16]}


def test_missing_debian_fonts_are_named_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEBIAN_FONTS, str(tmp_path))
    face = next(face for face in CJK_FACES if face.place.startswith("debian/"))
    with pytest.raises(EnvironmentFailed, match=r"apt-get install .*fonts-babelstone-han"):
        face.read()


@pytest.mark.parametrize("face", CJK_FACES, ids=lambda face: face.file)
def test_chinese_faces_draw_what_they_cover(face: Face) -> None:
    need(face)
    covered = coverage(face)
    assert len(covered & set(lookalikes.IDEOGRAPHS)) > 6_700
    missing = glyph(face, "\U0010fffd").ink
    drawn = [glyph(face, c).ink for c in sorted(covered & set(lookalikes.IDEOGRAPHS))[::97]]
    assert all(ink.max() > 60 for ink in drawn)
    assert all(ink.shape != missing.shape or (ink != missing).any() for ink in drawn)
    assert not {" ", "\u3000", "\U0010fffd"} & covered


def test_chinese_data_does_not_depend_on_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cjk_fonts(monkeypatch)
    spec = TextSpec(seed=3, count=100, characters=CHINESE, even=True, words=0.0, min_length=1)
    for mode in Mode:
        source = RenderedSource(dataclasses.replace(spec, mode=mode, max_length=8))
        size = Preprocessing()
        made = [list(batches(source, range(24), 8, size, workers)) for workers in (0, 2)]
        for one, other in zip(*made, strict=True):
            assert one.texts == other.texts
            np.testing.assert_array_equal(one.images, other.images)
        assert set("".join(text for batch in made[0] for text in batch.texts)) <= set(CHINESE)


def test_chinese_words_are_the_charsets_and_fit() -> None:
    pytest.importorskip("jieba")
    characters = read_charset(RECIPES / "charsets" / "gbk21k.txt")
    words = phrases(characters)
    rng, again = np.random.default_rng(2), np.random.default_rng(2)
    drawn = [words.draw(rng, 8) for _ in range(300)]
    assert drawn == [words.draw(again, 8) for _ in range(300)]
    assert {len(text) for text in drawn} == set(range(2, 9))
    assert set("".join(drawn)) <= set(characters)


def test_a_charset_without_chinese_words_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hcompress.data.render.phrases._read", lambda: "你好 9 l\n".encode())
    phrases.cache_clear()
    try:
        assert phrases(("あ", "い", "你")) is None
        assert phrases(("你", "好")).words == ("你好",)
    finally:
        phrases.cache_clear()


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_spec_of_gbk21k_draws(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_cjk_fonts(monkeypatch)
    pytest.importorskip("jieba")
    source = open_data(path)
    spec = read_spec(path)
    known = set(spec.characters)
    among = path.stem == "gbk21k-extend" or "-new-" in path.stem
    assert len(known) == (1_000 if among else 20_948)
    for index in range(0, 40_000 if spec.count > 40_000 else spec.count, 1_499):
        image, text = source[index]
        assert image.std() > 1
        assert 1 <= len(text) <= spec.max_length
        assert set(text) <= known


def test_specs_of_gbk21k_have_seeds_of_their_own() -> None:
    assert len(SPECS) > 5
    assert len({read_spec(path).seed for path in SPECS}) == len(SPECS)
