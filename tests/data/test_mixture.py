"""Several sources as one: how much of each, in which order, and what is refused."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from hcompress.charset import UnknownCharacter
from hcompress.data.known import check_labels
from hcompress.data.mixture import Mixture
from hcompress.data.source import open_data
from hcompress.errors import InputRefused, UsageError

SPEC = 'schema_version = 1\nseed = {}\ncount = 50\ncharset = "digits"\nmax_length = 4\n'


def labels(folder: Path, name: str, texts: list[str]) -> None:
    for place, _ in enumerate(texts):
        Image.new("RGB", (60, 20), (place, 0, 0)).save(folder / f"{name}{place}.png")
    lines = [f"{name}{place}.png\t{text}\n" for place, text in enumerate(texts)]
    (folder / f"{name}.tsv").write_text("".join(lines))


def mixed(folder: Path, *parts: tuple[str, float], seed: int = 1, count: int = 3000) -> Path:
    tables = "".join(f'[[sources]]\ndata = "{name}"\nweight = {share}\n' for name, share in parts)
    path = folder / "mix.toml"
    path.write_text(f"schema_version = 1\nseed = {seed}\ncount = {count}\n{tables}")
    return path


@pytest.fixture
def both(tmp_path: Path) -> Path:
    labels(tmp_path, "a", ["a1", "a2", "a3", "a4"])
    labels(tmp_path, "b", ["b1", "b2"])
    return mixed(tmp_path, ("a.tsv", 3), ("b.tsv", 1))


def test_each_source_has_its_share_and_all_its_lines(both: Path) -> None:
    source = open_data(both)
    assert len(source) == 3000
    assert isinstance(source, Mixture)
    counted = Counter(source[index].text for index in range(1200))
    share = sum(counted[text] for text in counted if text[0] == "a") / 1200
    assert share == pytest.approx(0.75, abs=0.04)
    assert set(counted) == {"a1", "a2", "a3", "a4", "b1", "b2"}
    assert max(counted[f"a{n}"] for n in range(1, 5)) < 1.3 * min(
        counted[f"a{n}"] for n in range(1, 5)
    )


def test_the_same_file_gives_the_same_lines_in_any_process(both: Path) -> None:
    source = open_data(both)
    other = pickle.loads(pickle.dumps(source))
    assert [source[i].text for i in range(40)] == [other[i].text for i in range(40)]
    assert [source[i].text for i in range(8)] == [
        "a2", "b2", "a1", "b2", "a2", "a3", "a1", "a4",
    ]  # fmt: skip
    with pytest.raises(IndexError):
        source[3000]


def test_its_digest_is_of_contents_weights_and_order(both: Path) -> None:
    digest = open_data(both).digest
    assert open_data(both).digest == digest
    mixed(both.parent, ("a.tsv", 2), ("b.tsv", 1))
    assert open_data(both).digest != digest
    mixed(both.parent, ("a.tsv", 3), ("b.tsv", 1), seed=2)
    assert open_data(both).digest != digest
    mixed(both.parent, ("a.tsv", 3), ("b.tsv", 1))
    assert open_data(both).digest == digest
    labels(both.parent, "b", ["b1", "c2"])
    assert open_data(both).digest != digest


def test_rendered_lines_mix_with_photographs(tmp_path: Path) -> None:
    labels(tmp_path, "a", ["x"])
    (tmp_path / "r.toml").write_text(SPEC.format(5))
    source = open_data(mixed(tmp_path, ("a.tsv", 1), ("r.toml", 1)))
    texts = {source[index].text for index in range(60)}
    assert "x" in texts
    assert len(texts) > 10


def test_labels_of_every_source_are_checked(both: Path) -> None:
    known = set("a1234b")
    check_labels(open_data(both), known, UnknownCharacter.REFUSE)
    with pytest.raises(InputRefused, match=r"b\.tsv"):
        check_labels(open_data(both), known - {"b"}, UnknownCharacter.REFUSE, range(3))


def test_what_is_no_mixture_is_refused(both: Path, tmp_path: Path) -> None:
    for parts, what in (
        ((("mix.toml", 1),), "a mixture in a mixture"),
        ((("a.tsv", 0),), r"weight = 0"),
        ((), "sources"),
    ):
        path = mixed(tmp_path, *parts)
        if not parts:
            path.write_text(path.read_text() + "sources = []\n")
        with pytest.raises(InputRefused, match=what):
            open_data(path)
    with pytest.raises(UsageError, match="no such data"):
        open_data(mixed(tmp_path, ("absent.tsv", 1)))
    both.write_text(
        'schema_version = 1\nseed = 1\ncount = 3\nsource = 2\nsources = [{data="a.tsv"}]\n'
    )
    with pytest.raises(InputRefused, match="unknown key"):
        open_data(both)
