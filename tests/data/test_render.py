"""Rendered text: the same everywhere, drawn by fonts that have it, and readable."""

import dataclasses
import multiprocessing
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hcompress.data.render import fonts
from hcompress.data.render.degrade import photograph
from hcompress.data.render.draw import BODY, ROOM, View, glyph, ink, see
from hcompress.data.render.families import FAMILIES, Family
from hcompress.data.render.fonts import Face, coverage, faces
from hcompress.data.render.letterforms import bent
from hcompress.data.render.source import RenderedSource
from hcompress.data.render.spec import CHARSETS, Degradation, Mode, Split, TextSpec
from hcompress.data.render.text import Alphabet, line
from hcompress.errors import EnvironmentFailed, InputRefused
from tests import ROOT
from tests.cjk_fonts import use_cjk_fonts

LATIN = tuple(CHARSETS["latin"])
ALL = Degradation(**{field.name: 1.0 for field in dataclasses.fields(Degradation)})
LINES = TextSpec(seed=5, count=400, characters=LATIN, degradation=ALL)
GLYPHS = dataclasses.replace(LINES, mode=Mode.GLYPHS)
FACES = [Face(f.name, f.package, file) for f in FAMILIES if not f.cjk for file in f.files]


def pixels(spec: TextSpec) -> list[bytes]:
    source = RenderedSource(spec)
    return [source[index].image.tobytes() + source[index].text.encode() for index in range(20)]


def test_another_process_draws_the_same() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for spec in (LINES, GLYPHS):
            assert pool.apply(pixels, (spec,)) == pixels(spec)


def test_order_of_access_does_not_matter() -> None:
    source, other = RenderedSource(LINES), RenderedSource(LINES)
    backwards = {index: source[index] for index in reversed(range(20))}
    for index in range(20):
        np.testing.assert_array_equal(backwards[index].image, other[index].image)


def test_count_does_not_change_images_but_the_digest() -> None:
    longer = dataclasses.replace(LINES, count=500)
    np.testing.assert_array_equal(RenderedSource(longer)[7].image, RenderedSource(LINES)[7].image)
    assert RenderedSource(longer).digest != RenderedSource(LINES).digest


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 6},
        {"fonts": Split.UNSEEN},
        {"words": 0.1},
        {"rare": "l"},
        {"degradation": Degradation()},
        {"degradation": dataclasses.replace(ALL, letterforms=0.5)},
    ],
)
def test_every_change_changes_digest_and_images(change: dict[str, object]) -> None:
    changed = dataclasses.replace(LINES, **change)  # type: ignore[arg-type]
    assert RenderedSource(changed).digest != RenderedSource(LINES).digest
    assert pixels(changed) != pixels(LINES)


def test_digest_is_the_same_in_another_process() -> None:
    code = (
        "from pathlib import Path; from hcompress.data import open_data;"
        f"print(open_data(Path({str(RECIPE)!r})).digest)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    from hcompress.data import open_data

    assert told.stdout.strip() == open_data(RECIPE).digest


RECIPE = ROOT / "recipes" / "data" / "latin-test.toml"


def test_shapes_lengths_and_characters() -> None:
    source = RenderedSource(dataclasses.replace(LINES, min_length=2, max_length=24))
    for index in range(100):
        image, text = source[index]
        assert image.shape == (48, 160, 3)
        assert image.dtype == np.uint8
        assert 2 <= len(text) <= 24
        assert set(text) <= set(LATIN)
    glyphs = RenderedSource(GLYPHS)
    assert {glyphs[index].image.shape for index in range(50)} == {(48, 48, 3)}
    with pytest.raises(IndexError):
        source[400]
    with pytest.raises(IndexError):
        source[-1]


def test_glyphs_show_every_character_about_as_often() -> None:
    source = RenderedSource(dataclasses.replace(GLYPHS, count=10**6, degradation=Degradation()))
    texts = [source[index].text for index in range(1500)]
    assert set(texts) == set(LATIN)


def test_splits_share_no_family() -> None:
    train = {face.family for face in faces(Split.TRAIN, LATIN)}
    unseen = {face.family for face in faces(Split.UNSEEN, LATIN)}
    assert not train & unseen
    assert len(train) >= 8
    assert len(unseen) >= 4
    assert not any(family.cjk for family in FAMILIES if family.name in train | unseen)


@pytest.mark.parametrize("face", FACES, ids=lambda face: face.file)
def test_covered_characters_have_ink_of_their_own(face: Face) -> None:
    covered = [character for character in LATIN if character in coverage(face)]
    assert len(covered) >= 60
    missing = glyph(face, "\U0010fffd").ink
    for character in covered:
        drawn = glyph(face, character).ink
        assert drawn.max() > 60, character
        assert drawn.shape != missing.shape or (drawn != missing).any(), character


def test_uncovered_and_blank_characters_are_not_covered() -> None:
    for face in FACES:
        assert not {" ", "\u00a0", "\U0010fffd", "国"} & coverage(face), face


def test_short_outlines_through_subroutines_count_as_ink() -> None:
    pytest.importorskip("mplfonts")
    noto = next(f for f in FAMILIES if f.cjk)
    covered = coverage(Face(noto.name, noto.package, noto.files[0]))
    assert set("cxo國一") <= covered
    assert not {" ", "\u3000"} & covered


def test_cjk_charsets_bring_in_cjk_families(monkeypatch: pytest.MonkeyPatch) -> None:
    use_cjk_fonts(monkeypatch)
    spec = TextSpec(seed=1, count=5, characters=tuple("漢字認識一二三"), words=0.0, min_length=1)
    source = RenderedSource(spec)
    assert set(source[0].text) <= set(spec.characters)


def test_a_character_no_font_draws_is_refused_by_name() -> None:
    with pytest.raises(InputRefused, match=r"U\+1B05"):
        RenderedSource(dataclasses.replace(LINES, characters=(*LATIN, "\u1b05")))


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    ghost = Family("Ghost", "no_such_fonts/files", ("Ghost.ttf",), "OFL-1.1", Split.TRAIN)
    gone = Family("Gone", "matplotlib/mpl-data", ("Gone.ttf",), "OFL-1.1", Split.TRAIN)
    for family in (ghost, gone):
        monkeypatch.setattr(fonts, "FAMILIES", (family,))
        with pytest.raises(EnvironmentFailed, match=r"pip install"):
            RenderedSource(LINES)


@settings(max_examples=200)
@given(
    st.integers(0, 2**32), st.integers(1, 24), st.floats(0, 1), st.sampled_from(["latin", "digits"])
)
def test_lines_keep_to_lengths_and_alphabet(seed: int, least: int, words: float, name: str) -> None:
    characters = CHARSETS[name]
    most = min(24, least + 5)
    text = line(np.random.default_rng(seed), Alphabet.of(characters, "0l"), (least, most), words)
    assert least <= len(text) <= most
    assert set(text) <= set(characters)


def test_rare_characters_are_a_quarter_as_frequent() -> None:
    drawn = Alphabet.of("abcd", "d").draw(np.random.default_rng(1), 13_000)
    assert drawn.count("d") == pytest.approx(1000, abs=120)
    assert drawn.count("a") == pytest.approx(4000, abs=250)


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_text_stands_out_at_full_strength(seed: int) -> None:
    """The mean over the ink differs from the mean over the ground, whatever was done to it."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((48, 96), np.uint8)
    mask[8:40, 8:88:16] = mask[8:40, 9:89:16] = mask[8:40, 10:90:16] = 255
    mask[8:40, 11:91:16] = 255
    strengths = dataclasses.replace(ALL, clutter=0.0)
    photo = photograph(rng, Image.fromarray(mask), strengths, 1.0).astype(np.float64)
    # Row by row and column group by column group, so that uneven light cancels out.
    core = (photo[12:36, 9:89:16] + photo[12:36, 10:90:16]) / 2
    gap = (photo[12:36, 1:81:16] + photo[12:36, 17:97:16]) / 2
    apart = np.abs((core - gap).mean(axis=0)).max()
    assert apart > 6


@settings(max_examples=100)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_any_view_keeps_the_ink_in_sight(seed: int, strength: float) -> None:
    rng = np.random.default_rng(seed)
    canvas, _ = ink(FACES[0], "HgHgHg", 0.0)
    columns = np.flatnonzero(canvas.any(axis=0))
    left, right = float(columns[0]), float(columns[-1] + 1)
    crop = (left - 8, ROOM - 6.0, right + 8, ROOM + BODY + 6.0)
    width = round(48 * (crop[2] - crop[0]) / (crop[3] - crop[1]))
    straight = see(canvas, crop, (width, 48), View(0.0, 0.0, np.zeros((4, 2))))
    seen = see(canvas, crop, (width, 48), View.draw(rng, strength, right - left))
    assert np.asarray(seen).sum() > 0.7 * np.asarray(straight).sum()


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.floats(0, 1), st.sampled_from(FACES))
def test_bent_letters_keep_their_ink_their_order_and_their_room(
    seed: int, strength: float, face: Face
) -> None:
    canvas, pens = ink(face, "HgHmgH", 2.0)
    drawn, moved = bent(np.random.default_rng(seed), canvas, pens, strength)
    assert drawn.shape[0] == canvas.shape[0]
    assert drawn.shape[1] == pytest.approx(canvas.shape[1] * moved[-1] / pens[-1])
    assert 1 / 1.36 < drawn.shape[1] / canvas.shape[1] < 1.36
    assert all(np.diff(moved) > 0)
    share = drawn.sum() / drawn.shape[1] / (canvas.sum() / canvas.shape[1])
    assert 0.6 < share < 2  # thinner by less than half, bolder by a pixel on each side
    rows = np.flatnonzero(drawn.max(axis=1) > 64)
    assert rows[0] > ROOM // 2
    assert rows[-1] < ROOM + BODY + ROOM // 2
    # Nothing is pushed over the canvas's ends.
    assert not drawn[:, :8].any()
    assert not drawn[:, -8:].any()


def test_letters_are_left_alone_at_no_strength() -> None:
    canvas, pens = ink(FACES[0], "Hamburg", 1.0)
    drawn, moved = bent(np.random.default_rng(3), canvas, pens, 0.0)
    np.testing.assert_array_equal(drawn, canvas)
    assert moved == pens


def test_the_straight_view_is_the_crop() -> None:
    canvas = np.random.default_rng(0).integers(0, 256, (60, 80), dtype=np.uint8)
    seen = see(canvas, (10.0, 5.0, 40.0, 25.0), (30, 20), View(0.0, 0.0, np.zeros((4, 2))))
    np.testing.assert_array_equal(np.asarray(seen), canvas[5:25, 10:40])
