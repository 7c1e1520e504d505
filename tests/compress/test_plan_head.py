"""Encodings of a head, judged: all of them, or those that may be chosen."""

from __future__ import annotations

import numpy as np

from hcompress.compress.plan_head import Judged, Row, chosen, rows
from hcompress.foreign.inputs import PREPROCESSINGS
from hcompress.heads.encodings.encode import Evidence, Teacher
from hcompress.heads.encodings.menu import encoding, menu
from hcompress.progress import NoProgress
from hcompress.spec.foreign import Answers as Output
from hcompress.spec.foreign import ForeignSpec

CLASSES, WIDTH, MAX_LOSS = 300, 16, 0.5
RNG = np.random.default_rng(2)
SPEC = ForeignSpec(
    ("", *(chr(0x4E00 + n) for n in range(CLASSES - 1))), 0, Output.PROBABILITIES, False,
    PREPROCESSINGS["ppocr"], "ppocr", "here",
)  # fmt: skip
TEACHER = Teacher(
    RNG.normal(size=(CLASSES, WIDTH)).astype(np.float32),
    np.zeros(CLASSES, np.float32),
    (0,),
    np.arange(0),
)
LINES = [RNG.normal(size=(20, WIDTH)).astype(np.float32) for _ in range(30)]


def judged(max_loss: float | None) -> list[Row]:
    evidence = Evidence.of(np.concatenate(LINES[::2]), TEACHER)
    lines = Judged(LINES[1::2], [""] * 15)
    return rows(list(menu(WIDTH)), TEACHER, evidence, lines, SPEC, 1000, NoProgress(), max_loss)


def test_what_is_left_out_could_not_have_been_chosen() -> None:
    every = [one for one in judged(None) if one.offered]
    able = judged(MAX_LOSS)
    assert [one.encoding for one in every] == [one.name for one in menu(WIDTH)]
    assert len(able) < len(every)
    assert all(one in every for one in able)
    assert chosen(able, MAX_LOSS) == chosen(every, MAX_LOSS)
    kinds = {one.name: one.kind for one in menu(WIDTH)}
    fallen = {kinds[one.encoding] for one in able if not one.holds(MAX_LOSS)}
    left_out = [one.encoding for one in every if one not in able]
    assert left_out
    assert all(kinds[name] in fallen for name in left_out)


def test_a_kind_is_a_name_without_its_number() -> None:
    names = ("int4", "fp16", "products-8", "rotated-4")
    assert [encoding(name, 16).kind for name in names] == ["int", "fp", "products-", "rotated-"]
