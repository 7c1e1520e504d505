"""A figure of 0% says why: labels that no reading can match are counted and named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from hcompress.evaluation.evaluate import COUNT_ALL, Line
from hcompress.evaluation.labels import MOST_LINES, said, unmatched
from hcompress.metrics import Ignore, Ignored


@dataclass(frozen=True)
class Knows:
    characters: str
    longest: int | None = None
    preprocessing: None = None

    def read(self, images: Any) -> list[Any]:
        raise NotImplementedError


def lines(*truths: str, read: str = "?") -> list[Line]:
    return [Line(n, truth, read, 0.5) for n, truth in enumerate(truths)]


@pytest.mark.parametrize(
    ("truth", "kind", "strangers"),
    [
        ("ab ", "blank", {" ": 1}),
        ("\u3000ab", "blank", {"\u3000": 1}),
        ("ａb", "width", {"ａ": 1}),
        ("e\u0301", "decomposed", {"e": 1, "\u0301": 1}),
        ("ab!", "outside", {"!": 1}),
        ("ababa", "long", {}),
    ],
)
def test_each_kind_is_counted(truth: str, kind: str, strangers: dict[str, int]) -> None:
    found = unmatched(lines("ab", truth), Knows("abé", longest=4), COUNT_ALL)
    assert found == {
        "lines": 1,
        kind: 1,
        "characters": strangers,
        "examples": [{"index": 1, "truth": truth, "why": kind}],
    }
    told = said(found, 2)
    assert told[0] == "1 of 2 labels can't be read right by this model:"
    assert repr(truth) in told[-1]


def test_labels_that_are_fine_say_nothing() -> None:
    assert unmatched(lines("ab", "b"), Knows("ab", longest=4), COUNT_ALL) is None
    assert unmatched(lines("ababa"), Knows("ab"), COUNT_ALL) is None
    right = [Line(0, "ababab", "ababab", 0.9)]  # in several pieces
    assert unmatched(right, Knows("ab", longest=4), COUNT_ALL) is None


def test_a_line_read_in_pieces_may_be_as_much_longer() -> None:
    for truth, pieces, fits in (("ababa", 2, True), ("ab" * 4, 2, True), ("ab" * 5, 2, False)):
        line = Line(0, truth, "?", 0.5, pieces)
        assert (unmatched([line], Knows("ab", longest=4), COUNT_ALL) is None) is fits
    assert Line(0, "a b", "ab", 0.5, 3).folded(Ignored(frozenset({Ignore.SPACE}))).pieces == 3


def test_what_does_not_count_is_wrong_with_no_label() -> None:
    ignored = Ignored(frozenset({Ignore.SPACE, Ignore.WIDTH, Ignore.CASE}))
    read = [line.folded(ignored) for line in lines("AB ", "ａｂ")]
    assert unmatched(read, Knows("ab"), ignored) is None
    assert unmatched(read, Knows("AB"), ignored) is None


def test_many_are_counted_and_some_are_shown() -> None:
    found = unmatched(lines(*["x y", "y"] * 500), Knows("abc"), COUNT_ALL)
    assert found is not None
    assert (found["lines"], found["outside"]) == (1000, 1000)
    assert found["characters"] == {"y": 1000, " ": 500, "x": 500}
    assert list(found["characters"]) == ["y", " ", "x"]
    assert len(found["examples"]) == MOST_LINES
