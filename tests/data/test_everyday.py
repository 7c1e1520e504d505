"""Everyday lines, and lines as wide as their text: what they say, and that they are seen whole."""

import dataclasses
import pickle
import string
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcompress.charset import read_charset
from hcompress.data import open_data
from hcompress.data.render import everyday_chinese, everyday_latin
from hcompress.data.render.charset_lines import CharsetLines, charset_lines
from hcompress.data.render.even import face_and_rest
from hcompress.data.render.everyday import Everyday, tidy, width
from hcompress.data.render.fonts import Face, coverage
from hcompress.data.render.phrases import everyday_words
from hcompress.data.render.source import NARROWEST, RenderedSource
from hcompress.data.render.spec import CHARSETS, Degradation, Mode, Split, TextSpec, read_spec
from hcompress.data.render.text import Alphabet
from hcompress.errors import EnvironmentFailed, InputRefused
from tests import ROOT

RECIPES = ROOT / "recipes"
PRINTABLE = tuple(CHARSETS["printable"])
LATIN = TextSpec(
    seed=5,
    count=400,
    mode=Mode.EVERYDAY,
    characters=PRINTABLE,
    min_length=1,
    max_length=40,
    degradation=Degradation(geometry=0.5, noise=0.5),
)
SPECS = [
    RECIPES / "data" / f"{name}.toml"
    for name in (
        "everyday-calibration", "everyday-test", "everyday-words-test", "rare-calibration",
        "rare-test",
    )
]  # fmt: skip


def everyday(name: str, **changes: object) -> Everyday:
    characters = tuple(CHARSETS[name])
    plain = Everyday(None, characters, frozenset(characters), (1, 40), 15.0)
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def test_the_same_index_is_the_same_line_in_any_process() -> None:
    source = RenderedSource(LATIN)
    other = pickle.loads(pickle.dumps(RenderedSource(LATIN)))
    for index in (7, 3, 11):
        assert source[index].text == other[index].text
        np.testing.assert_array_equal(source[index].image, other[index].image)
    assert source.digest == other.digest
    assert RenderedSource(dataclasses.replace(LATIN, seed=6))[3].text != source[3].text


def test_everyday_lines_are_as_wide_as_their_text() -> None:
    source = RenderedSource(LATIN)
    samples = [source[index] for index in range(150)]
    widths = [image.shape[1] for image, _ in samples]
    assert {image.shape[0] for image, _ in samples} == {48}
    assert NARROWEST <= min(widths) < 120
    assert 480 < max(widths) <= 640
    assert np.corrcoef(widths, [width(text) for _, text in samples])[0, 1] > 0.8
    assert any(" " in text for _, text in samples)
    assert len({text for _, text in samples}) > 140
    narrow = RenderedSource(dataclasses.replace(LATIN, max_width=200))
    assert max(narrow[index].image.shape[1] for index in range(60)) <= 200


def test_lines_without_a_width_are_what_they_were() -> None:
    spec = dataclasses.replace(LATIN, mode=Mode.LINES, characters=PRINTABLE[:-1], max_length=12)
    assert RenderedSource(spec)[0].image.shape == (48, 160, 3)
    natural = RenderedSource(dataclasses.replace(spec, max_width=640))
    assert {natural[index].text for index in range(9)} == {
        RenderedSource(spec)[index].text for index in range(9)
    }
    assert len({natural[index].image.shape[1] for index in range(20)}) > 10


def test_everyday_data_has_a_digest_of_its_words_and_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = RenderedSource(LATIN).digest
    monkeypatch.setattr("hcompress.data.render.source.VERSION", 99)
    assert RenderedSource(LATIN).digest != before


@settings(max_examples=200)
@given(
    st.integers(0, 2**32),
    st.sampled_from(sorted(CHARSETS)),
    st.integers(1, 12),
    st.floats(2, 30),
)
def test_any_line_keeps_to_its_characters_and_lengths(
    seed: int, name: str, least: int, ems: float
) -> None:
    source = everyday(name, lengths=(least, least + 20), ems=ems)
    text = source.draw(np.random.default_rng(seed))
    assert least <= len(text) <= least + 20
    assert set(text) <= source.known
    assert text == text.strip()
    assert "  " not in text


def test_a_charset_of_which_no_kind_of_line_can_be_made_is_drawn_at_random() -> None:
    greek = tuple("αβγδ")
    source = everyday("digits", characters=greek, known=frozenset(greek), lengths=(3, 5))
    assert set(source.draw(np.random.default_rng(1))) <= set(greek)


def test_kinds_of_lines_are_many_and_vary() -> None:
    rng = np.random.default_rng(4)
    assert len(set(everyday_latin.TEMPLATES)) >= 12
    for template in set(everyday_latin.TEMPLATES):
        texts = [template(rng) for _ in range(200)]
        assert len(set(texts)) > 60, template
        assert all(text.strip() for text in texts), template


def test_chinese_kinds_are_many_and_vary() -> None:
    pytest.importorskip("jieba")
    characters = read_charset(RECIPES / "charsets" / "everyday.txt")
    words = everyday_words(tuple(c for c in characters if c != " "))
    assert words is not None
    rng = np.random.default_rng(4)
    assert len(set(everyday_chinese.TEMPLATES)) >= 12
    for template in set(everyday_chinese.TEMPLATES):
        texts = [template(rng, words) for _ in range(200)]
        assert len(set(texts)) > (30 if template is everyday_chinese.sign else 60), template
        # Words are of the charset, and so are the templates.
        assert set("".join(texts)) <= set(characters), template


def test_words_by_kind_are_the_dictionarys(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = "你好 9 v\n北京 5 ns\n苹果 4 n\n".encode()
    monkeypatch.setattr("hcompress.data.render.phrases._read", lambda: entries)
    everyday_words.cache_clear()
    try:
        words = everyday_words(tuple("你好北京苹果"))
        assert words is not None
        assert words.place.words == ("北京",)
        assert words.noun.words == ("苹果",)
        assert len(words.adjective.words) == len(words.any.words) == 3  # there is none: any word
        assert everyday_words(("あ",)) is None
    finally:
        everyday_words.cache_clear()


def test_tidy_leaves_single_spaces_between_what_is_known() -> None:
    assert tidy(" a  £ b\u3000c ", "abc ") == "a bc"
    assert tidy("a b", "ab") == "ab"
    assert width("a国") == 1.55


def test_a_face_that_lacks_a_part_draws_the_rest() -> None:
    rng = np.random.default_rng(1)
    ab, c = Face("ab", "p", "ab"), Face("c", "p", "c")
    families = (((ab, Alphabet.of("ab", "")),), ((c, Alphabet.of("c", "")),))
    assert face_and_rest(rng, families, "abc") == (ab, "ab")
    assert face_and_rest(rng, families, "cc") == (c, "cc")


def test_what_no_font_draws_is_left_out_of_everyday_lines_and_refused_elsewhere() -> None:
    characters = (*PRINTABLE, "\u1b05")
    source = RenderedSource(dataclasses.replace(LATIN, characters=characters))
    assert "\u1b05" not in "".join(source[index].text for index in range(50))
    with pytest.raises(InputRefused, match=r"U\+1B05"):
        RenderedSource(dataclasses.replace(LATIN, characters=("\u1b05",)))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_shipped_specs_draw_with_fonts_of_pip_alone(path: Path) -> None:
    pytest.importorskip("mplfonts")
    pytest.importorskip("jieba")
    source = open_data(path)
    assert isinstance(source, RenderedSource)
    assert not any(family.debian for family in source.families)
    assert any(family.cjk for family in source.families)
    spec = read_spec(path)
    assert (spec.fonts is Split.UNSEEN) == path.stem.endswith("test")
    for index in range(0, spec.count, spec.count // 12):
        image, text = source[index]
        assert image.std() > 1
        assert image.shape[0] == 48
        assert NARROWEST <= image.shape[1] <= 640
        assert 1 <= len(text) <= spec.max_length
        assert set(text) <= set(spec.characters)


def test_the_everyday_charset_is_ascii_gb2312_and_chinese_marks() -> None:
    characters = read_charset(RECIPES / "charsets" / "everyday.txt")
    assert set(PRINTABLE) <= set(characters)
    ideographs = [c for c in characters if "\u4e00" <= c <= "\u9fff"]
    assert len(ideographs) == 6_763
    assert all(len(c.encode("gb2312")) == 2 for c in ideographs)


def test_lines_of_a_list_show_each_character_about_as_often() -> None:
    source = charset_lines(string.ascii_letters, 400, 3, Split.TRAIN)
    counts = Counter("".join(source[index].text for index in range(400)))
    assert set(counts) == set(string.ascii_letters)
    assert max(counts.values()) < 2 * min(counts.values())
    assert {4, 10} <= {len(source[index].text) for index in range(100)} <= set(range(4, 11))
    assert len(source) == 400
    with pytest.raises(IndexError):
        source[400]
    assert source.digest != charset_lines(string.ascii_letters, 400, 4, Split.TRAIN).digest
    assert source.digest != charset_lines(string.ascii_letters, 400, 3, Split.UNSEEN).digest


def test_what_no_face_draws_is_left_out_of_a_list() -> None:
    source = charset_lines([*"abc", "\U0010fffd", "\u1b05", " ", "ab", ""], 20, 3, Split.UNSEEN)
    assert isinstance(source, CharsetLines)
    assert source.characters == ("a", "b", "c")
    for nothing in ([], ["\u1b05", "ab"]):
        with pytest.raises(InputRefused, match="no unseen font draws any of its"):
            charset_lines(nothing, 20, 3, Split.UNSEEN)


@pytest.mark.parametrize("split", list(Split))
def test_a_list_is_drawn_by_chinese_faces_and_the_rest_in_lines_of_its_own(split: Split) -> None:
    pytest.importorskip("mplfonts")
    characters = (*read_charset(RECIPES / "charsets" / "gbk21k.txt")[100:180], *"aĝĥĵ①")
    try:
        source = charset_lines(characters, 100, 3, split)
    except EnvironmentFailed as error:
        pytest.skip(str(error))
    assert isinstance(source, CharsetLines)
    chinese, rest = source.sources
    assert [family.cjk for family in chinese.families] == [True]
    assert set(rest.spec.characters) == set("ĝĥĵ")
    assert {len(chinese), len(rest)} == {96, 4}
    assert set("".join(source[index].text for index in range(100))) <= set(characters)
    drawn = [coverage(Face(f.name, f.package, f.files[0])) for f in rest.families]
    assert all(face >= set("ĝĥĵ") for face in drawn)
