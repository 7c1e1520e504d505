"""Lines that can't be read are left out where that is asked for, and named."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from hcompress.charset import UnknownCharacter
from hcompress.data import open_data
from hcompress.data.batches import batches
from hcompress.data.render.source import RenderedSource
from hcompress.data.render.spec import TextSpec
from hcompress.data.unreadable import MOST_NAMED, Naming, is_unreadable, lenient
from hcompress.errors import InputRefused
from hcompress.progress import NoProgress
from hcompress.spec.preprocessing import Preprocessing

SIZE = Preprocessing(height=8, width=16)
REFUSE, SKIP = UnknownCharacter.REFUSE, UnknownCharacter.SKIP_LINE


class Hears(NoProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def label_file(folder: Path, names: list[str]) -> Path:
    Image.new("RGB", (16, 8)).save(folder / "good.png")
    (folder / "bad.png").write_bytes(b"\xff\xd8broken")
    (folder / "l.txt").write_text("".join(f"{name}\tab\n" for name in names))
    return folder / "l.txt"


@pytest.mark.parametrize("workers", [0, 1])
def test_what_cannot_be_read_is_left_out_and_named_once(tmp_path: Path, workers: int) -> None:
    path = label_file(tmp_path, ["good.png", "bad.png", "none.png", "good.png"])
    hears = Hears()
    source = lenient(open_data(path), SKIP)
    naming = Naming(hears)
    texts = []
    for _ in range(2):
        for batch in naming(batches(source, range(4), 2, SIZE, workers)):
            assert batch.images.shape == (2, 8, 16, 3)
            texts += batch.texts
    assert [is_unreadable(text) for text in texts] == 2 * [False, True, True, False]
    where = [said.split(": ")[1] for said in hears.said]
    assert where == [f"{path}, line 2", f"{path}, line 3"]


def test_thousands_are_not_all_named(tmp_path: Path) -> None:
    source = lenient(open_data(label_file(tmp_path, ["bad.png"] * 40)), SKIP)
    hears = Hears()
    list(Naming(hears)(batches(source, range(40), 8, SIZE)))
    assert len(hears.said) == MOST_NAMED + 1
    assert hears.said[-1] == "left out: more lines like these"


def test_unless_asked_it_stops(tmp_path: Path) -> None:
    source = lenient(open_data(label_file(tmp_path, ["bad.png"])), REFUSE)
    with pytest.raises(InputRefused, match=r"line 1: .*not a readable image"):
        source[0]
    rendered = RenderedSource(TextSpec(seed=1, count=9, characters=tuple("abc")))
    assert lenient(rendered, SKIP) is rendered
