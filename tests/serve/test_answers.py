"""What is told of a reading."""

from __future__ import annotations

import pytest

from hcompress.runtime.reading import Candidate, Reading
from hcompress.serve.answers import Asked, told


def step(**chances: float) -> list[Candidate]:
    return [Candidate(character=one, confidence=chance) for one, chance in chances.items()]


READING = Reading("O1l", 0.5, [step(O=0.8, o=0.1), step(l=0.6, i=0.3), step(l=0.9, L=0.05)])


def test_text_and_confidence_alone() -> None:
    assert told(READING, Asked()) == {"text": "O1l", "confidence": 0.5}


def test_candidates_and_remarks_if_there_are_any() -> None:
    answer = told(Reading("a", 0.25, [step(a=0.5, b=0.4)], remark="tall"), Asked(top=1))
    assert answer["candidates"] == [[{"character": "a", "confidence": 0.5}]]
    assert answer["remark"] == "tall"


def test_an_unsure_text_is_not_told() -> None:
    assert told(READING, Asked(min_confidence=0.6))["text"] is None
    assert told(READING, Asked(min_confidence=0.5))["text"] == "O1l"


def test_only_takes_the_best_that_is_allowed_and_is_less_sure() -> None:
    reading = Reading("Ol", 0.5, [step(O=0.8, o=0.1), step(l=0.6, i=0.3)])
    answer = told(reading, Asked(top=5, only="oi"))
    assert answer["text"] == "oi"
    assert answer["confidence"] == pytest.approx(0.5 * (0.1 / 0.8) * (0.3 / 0.6))
    assert [[one["character"] for one in row] for row in answer["candidates"]] == [["o"], ["i"]]


def test_a_character_without_an_allowed_one_is_left_out() -> None:
    answer = told(Reading("ab", 0.9, [step(a=0.9), step(b=0.9)]), Asked(only="a"))
    assert answer == {"text": "a", "confidence": pytest.approx(0.09)}


def test_all_that_is_allowed_changes_nothing() -> None:
    reading = Reading("7", 0.7, [step(**{"7": 0.9, "1": 0.1})])
    assert told(reading, Asked(only="digits")) == told(reading, Asked())
    assert told(reading, Asked(only="0-9"))["text"] == "", "three characters, and no range"
