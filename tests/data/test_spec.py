"""The rendered-text spec: what is accepted, and what a wrong one is told."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hcompress.charset import read_charset
from hcompress.data.render.spec import CHARSETS, Mode, Split, make_spec, read_spec, read_spec_file
from hcompress.errors import InputRefused, UsageError
from tests import ROOT

RECIPES = ROOT / "recipes" / "data"
MINIMAL = {"schema_version": 1, "seed": 1, "count": 10}


def refused(tmp_path: Path, **changes: object) -> str:
    with pytest.raises(InputRefused) as caught:
        make_spec({**MINIMAL, **changes}, tmp_path)
    return str(caught.value)


@pytest.mark.parametrize("name", ["train", "validation", "test", "train-glyphs"])
def test_shipped_specs_read(name: str) -> None:
    spec = read_spec(RECIPES / f"latin-{name}.toml")
    assert len(spec.characters) == 94
    assert " " not in spec.characters
    assert (spec.fonts is Split.UNSEEN) == (name == "test")
    assert (spec.mode is Mode.GLYPHS) == (name == "train-glyphs")
    assert spec.count >= 2000


def test_letterforms_left_alone_are_no_part_of_what_decides_the_images() -> None:
    bent = {**MINIMAL, "degradation": {"letterforms": 0.5}}
    assert make_spec(bent, RECIPES).canonical()["degradation"]["letterforms"] == 0.5
    assert "letterforms" not in make_spec(MINIMAL, RECIPES).canonical()["degradation"]


def test_shipped_specs_share_no_seed() -> None:
    seeds = [read_spec_file(path)["seed"] for path in RECIPES.glob("*.toml")]
    assert len(seeds) == len(set(seeds))


def test_what_is_no_spec_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    os.mkfifo(path)
    with pytest.raises(UsageError, match="no such rendered-text spec"):
        read_spec(path)
    path.unlink()
    path.write_text("#" * (2 << 20))
    with pytest.raises(InputRefused, match="larger than 1 MiB"):
        read_spec(path)
    path.write_text("a = " + "[" * 100_000)
    with pytest.raises(InputRefused, match="not TOML"):
        read_spec(path)


def test_a_typo_is_pointed_out(tmp_path: Path) -> None:
    assert 'did you mean "min_length"?' in refused(tmp_path, min_lenght=3)
    told = refused(tmp_path, degradation={"blurr": 0.1})
    assert 'unknown key "degradation.blurr"' in told
    assert 'did you mean "blur"?' in told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 2}, "schema_version = 2: this hcompress reads 1 only"),
        ({"count": 0}, "count = 0"),
        ({"count": True}, "count = true: must be a whole number"),
        ({"seed": -1}, "seed = -1"),
        ({"seed": "x"}, 'seed = "x": must be a whole number'),
        ({"mode": "words"}, "one of: everyday, glyphs, lines"),
        ({"min_length": 9, "max_length": 8}, "min_length = 9"),
        ({"max_length": 25}, "<= 24"),
        ({"max_length": 65, "max_width": 640}, "<= 64"),
        ({"mode": "everyday", "max_length": 65}, "<= 64"),
        ({"max_width": 79}, "max_width = 79: must be 80 to 4096"),
        ({"mode": "glyphs", "max_width": 640}, "single characters have glyph_width"),
        ({"debian_fonts": 1}, "debian_fonts = 1: must be true or false"),
        ({"words": 1.5}, "words = 1.5"),
        ({"words": float("nan")}, "words = nan"),
        ({"degradation": {"noise": -0.1}}, "degradation.noise = -0.1"),
        ({"degradation": 3}, "must be a table"),
        ({"charset": "nowhere.txt"}, "neither one of latin"),
        ({"characters": ["a"]}, "unknown key"),
    ],
)
def test_wrong_values_are_named(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    assert said in refused(tmp_path, **changes)


def test_missing_keys_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="count is missing"):
        make_spec({"schema_version": 1, "seed": 1}, tmp_path)


def test_file_and_fault_are_both_named(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    for content in (b"seed = = 1", b"\xff\xfe", b"schema_version = 1\nseed = 1\n"):
        path.write_bytes(content)
        with pytest.raises(InputRefused, match=r"x\.toml: "):
            read_spec(path)


def test_charset_file_beside_the_spec(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("ab\nc\n", encoding="utf-8")
    assert make_spec({**MINIMAL, "charset": "c.txt"}, tmp_path).characters == ("a", "b", "c")
    (tmp_path / "c.txt").write_text("aba", encoding="utf-8")
    assert "'a'" in refused(tmp_path, charset="c.txt")


def test_the_charsets_path_does_not_count_its_characters_do(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text(CHARSETS["digits"], encoding="utf-8")
    named = make_spec({**MINIMAL, "charset": "digits"}, tmp_path)
    from_file = make_spec({**MINIMAL, "charset": "c.txt"}, tmp_path)
    assert named.canonical() == from_file.canonical()


@pytest.mark.parametrize(
    ("name", "count", "digest"),
    [
        ("test", 2000, "c98208e823526e1668899f005601d2170c598cf40392a8b93684c3a2df04ed5d"),
        (
            "train-glyphs",
            1_000_000,
            "6361ba578e34a874893f829a9c732ae99b5af51c4233885294389ddff4ee89ca",
        ),
    ],
)
def test_specs_older_than_a_key_keep_the_form_they_were_published_with(
    name: str, count: int, digest: str
) -> None:
    """Pinned before there was `even`, `glyph_width`, `max_width`, `debian_fonts`, `letterforms`."""
    spec = dataclasses.replace(read_spec(RECIPES / f"latin-{name}.toml"), count=count)
    text = json.dumps(spec.canonical(), sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == digest
    bent = dataclasses.replace(spec.degradation, letterforms=0.5)
    assert dataclasses.replace(spec, degradation=bent).canonical() != spec.canonical()


@given(
    st.dictionaries(
        st.sampled_from(
            ["schema_version", "seed", "count", "mode", "charset", "fonts", "words", "min_length"]
        )
        | st.text(max_size=5),
        st.integers() | st.text(max_size=5) | st.floats() | st.booleans() | st.lists(st.integers()),
    )
)
def test_any_table_is_read_or_refused(raw: dict[str, object]) -> None:
    try:
        spec = make_spec(raw, Path("/nonexistent"))
    except InputRefused:
        return
    assert spec.count >= 1


def test_the_new_characters_are_new_and_stand_among_known_ones() -> None:
    charsets = ROOT / "recipes" / "charsets"
    known, new, among = (
        set(read_charset(charsets / f"gbk21k{name}.txt")) for name in ("", "-new", "-new-among")
    )
    assert len(new) == 500
    assert not new & known
    assert among >= new
    assert len(among - new) == 500
    assert among - new <= known
