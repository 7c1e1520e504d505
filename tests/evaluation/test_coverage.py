"""What a recogniser lists and can't read, by group."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hcompress.cli import main
from hcompress.data.sample import Sample
from hcompress.errors import InputRefused
from hcompress.evaluation.coverage import Seen, group_of, report, sources, tally
from hcompress.models import packaged_model
from hcompress.progress import NoProgress


@dataclass(frozen=True)
class Said:
    text: str
    confidence: float = 1.0
    candidates: Sequence[Any] = ()


class Mute:
    """A reader that leaves out b and takes 乙 for 己; it reads nothing but labels."""

    characters = tuple("ab甲乙")

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(texts)

    def read(self, images: Sequence[np.ndarray]) -> list[Said]:
        own, self._texts = self._texts[: len(images)], self._texts[len(images) :]
        return [Said(text.replace("b", "").replace("乙", "己")) for text in own]


class Lines(list[Sample]):
    digest = ""


def test_what_is_never_read_is_named() -> None:
    texts = ["ab甲", "乙ab", "甲甲"]
    lines = Lines(Sample(np.zeros((8, 8, 3), np.uint8), text) for text in texts)
    seen = tally(Mute(texts), [lines], NoProgress())
    assert seen == {"a": Seen(2, 2), "b": Seen(2, 0), "甲": Seen(3, 3), "乙": Seen(1, 0)}
    found = report((*"ab甲乙丙", "ab", " "), seen)
    assert found.longer == 1
    assert [one.group for one in found.shares] == ["ASCII", "GB2312 level 1"]
    ascii_, level = found.shares
    assert (ascii_.listed, ascii_.read, ascii_.never) == (2, 0.5, "b")
    assert (level.listed, level.shown, level.read, level.never) == (3, 2, 0.75, "乙")
    assert found.to_dict()["never_read"] == "b乙"
    assert found.rows()[-1] == ["all", "5", "4", "0.625", "2"]


def test_groups() -> None:
    names = {"a": "ASCII", "中": "GB2312 level 1", "囗": "GB2312 level 2", "亀": "CJK, other",
             "㐀": "CJK Extension A", "ァ": "Hiragana and Katakana", "Ａ": "full width",
             "😀": "emoji and pictures", "𠀀": "CJK Extensions B on", "é": "Latin"}  # fmt: skip
    assert {one: group_of(one) for one in names} == names


def test_lines_are_drawn_in_fonts_of_both_kinds() -> None:
    found = sources("abcdefgh", 3, 1)
    assert len(found) == 2
    shown = "".join(source[i].text for source in found for i in range(len(source)))
    assert set(shown) == set("abcdefgh")
    with pytest.raises(InputRefused, match="no font"):
        sources("\U000f0000", 3, 1)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    model = str(packaged_model())
    assert main(["coverage", model, "--sample", "40", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["listed"] <= 40
    assert found["read"] > 0.5
    assert main(["coverage", model, "--sample", "20"]) == 0
    assert "never read" in capsys.readouterr().out
