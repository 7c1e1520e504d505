"""Format 3 of the header: what is written is read back, and nothing else is."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from typing import Any

import pytest

from hcompress.errors import InputRefused
from hcompress.spec.foreign import Answers, Channels, ForeignSpec, ImageInput, Resize
from hcompress.spec.foreign_header import header_from, header_json, listed, spec_to_dict
from hcompress.spec.header import Provenance

IMAGE = ImageInput(Channels.BGR, 48, (0.5,) * 3, (0.5,) * 3, minimum_width=320)
SPEC = ForeignSpec(
    ("", "a", "郎", "郎", "🇩🇪", " "), 0, Answers.PROBABILITIES, False, IMAGE, "ppocr", "here"
)
MADE = Provenance("import", None)


def again(spec: ForeignSpec, character: str | None = None) -> ForeignSpec:
    text = header_json(spec, MADE, character=character)
    return header_from(json.loads(text), character, "m").spec


def test_what_is_written_is_read_back() -> None:
    assert again(SPEC) == SPEC
    last = replace(SPEC, classes=("a", "ll", ""), blank=2, time_first=True)
    grey = ImageInput(Channels.GREY, 64, (0.0,), (1.0,), 16, 640, 1.0, Resize.LANCZOS, True)
    assert again(replace(last, image=grey)) == replace(last, image=grey)


def test_dropped_classes_and_where_classes_came_from_are_read_back() -> None:
    spec = replace(SPEC, dropped=frozenset((1, 5)), origin=(0, 7, 3, 9, -1, 20))
    assert again(spec) == spec
    assert spec.characters == ("郎", "🇩🇪")
    assert not {"dropped", "origin"} & set(spec_to_dict(SPEC))


@pytest.mark.parametrize(
    "character", ["a\n郎\n郎\n🇩🇪", "a\r\n郎\r\n郎\r\n🇩🇪\r\n", "a\n郎\n郎\n🇩🇪\n \n"]
)
def test_classes_that_the_file_says_already_are_not_written(character: str) -> None:
    assert spec_to_dict(SPEC, character)["classes"] is None
    assert again(SPEC, character) == SPEC


def test_classes_that_differ_from_the_metadatas_are_written() -> None:
    assert spec_to_dict(SPEC, "b\n郎\n郎\n🇩🇪")["classes"] is not None
    assert again(SPEC, "b\n郎\n郎\n🇩🇪") == SPEC


def test_a_list_may_lack_the_blank_and_the_space() -> None:
    assert listed(["a"], 3, 0) == ("", "a", " ")
    assert listed(["a", "b"], 3, 2) == ("a", "b", "")
    assert listed(["x", "b"], 2, 0) == ("", "b")
    assert listed(["a"], 4, 0) is None


def damaged(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = json.loads(header_json(SPEC, MADE))
    raw["foreign"] |= changes
    return raw


def _numbers(steps: str) -> str:
    return base64.b64encode(zlib.compress(steps.encode())).decode()


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"blank": 6}, "blank = 6: there are 6 classes"),
        ({"blank": -1}, "blank"),
        ({"blank": 1}, "class 0 must not be empty"),
        ({"count": 7}, "6 classes where there must be 7"),
        ({"count": 1 << 40}, "count"),
        ({"classes": "!!"}, "classes"),
        ({"dropped": "!!"}, "dropped"),
        ({"dropped": _numbers("[6]")}, "dropped: a class that there is not"),
        ({"dropped": _numbers("[0]")}, "dropped: .*or the blank"),
        ({"dropped": _numbers('["1"]')}, "dropped"),
        ({"origin": _numbers("[0,1,1]")}, "origin: no place for each of 6"),
        ({"origin": _numbers("[0,1,1,1,1,9999999]")}, "origin"),
        ({"classes": "eJyLBgAAXQBd"}, "classes"),
        ({"classes": None}, "0 classes where there must be 6"),
        ({"answers": "maybe"}, "answers"),
        ({"image": {}}, "image"),
        ({"image": {"channels": "grey", "height": 9, "mean": [0, 0], "std": [1, 1]}}, "1 numbers"),
        ({"image": {"channels": "grey", "height": 48, "mean": [0.0], "std": [0.0]}}, "std of zero"),
        ({"image": {"channels": "grey", "height": 10**9, "mean": [0.0], "std": [1.0]}}, "height"),
        ({"classifier": 3}, "classifier must be a table"),
        ({"surprise": 3}, "surprise"),
    ],
)
def test_anything_else_is_refused(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(InputRefused, match=what):
        header_from(damaged(**changes), None, "m")
