"""Codes of a foreign head, learnt on cached features, blank outside of them."""

from __future__ import annotations

import numpy as np
import pytest

from hcompress.compress.plan_head import evidence_of
from hcompress.errors import InputRefused, UsageError
from hcompress.foreign.kept import answers, answers_by
from hcompress.heads.encodings.by_distance import by_distance
from hcompress.heads.encodings.encode import Encoded, Teacher
from hcompress.heads.encodings.menu import encoding, stored_bytes
from hcompress.progress import NoProgress
from hcompress.training.code_options import CodesFrom
from hcompress.training.learnt_head import Learning, beginning, learnt_head

RNG = np.random.default_rng(8)
CLASSES, WIDTH, LENGTH = 120, 24, 64
MEANS = RNG.normal(size=(CLASSES, WIDTH)).astype(np.float32)
BLANK = 0
TEACHER = Teacher(
    MEANS * 4, (-2 * (MEANS**2).sum(1)).astype(np.float32), (BLANK,), np.array([7, 9], np.intp)
)
DRAWN = RNG.integers(0, CLASSES, (60, 40))
DRAWN[np.isin(DRAWN, TEACHER.dead)] = BLANK
DRAWN[:, ::2] = BLANK
FEATURES = [
    (MEANS[ids] + 0.25 * RNG.normal(size=(len(ids), WIDTH))).astype(np.float32) + 1.0
    for ids in DRAWN
]
EVIDENCE = evidence_of(FEATURES, TEACHER, BLANK)


def learnt(steps: int, **more: object) -> Encoded:
    learning = Learning(LENGTH, steps, 3, **more)  # type: ignore[arg-type]
    return learnt_head(TEACHER, EVIDENCE, FEATURES, learning, NoProgress())


def kept(head: Encoded) -> tuple[float, float]:
    """Of frames that are no blank, by distance and by the real-valued query."""
    before = answers(FEATURES, TEACHER.weight, TEACHER.bias, chances=False).ids
    way, _ = by_distance(head, TEACHER, EVIDENCE)
    alone = answers_by(FEATURES, way.scores, chances=False).ids
    real = answers(FEATURES, *head.floats(), chances=False).ids
    spoken = before != BLANK
    return float((alone == before)[spoken].mean()), float((real == before)[spoken].mean())


@pytest.mark.parametrize("start", CodesFrom)
def test_codes_that_learn_keep_more_than_those_that_stay(start: CodesFrom) -> None:
    untrained, fixed = learnt(0, start=start), learnt(90, start=start, fixed=True)
    learning = learnt(90, start=start)
    assert untrained.bytes == fixed.bytes == learning.bytes
    assert max(kept(untrained)[0], kept(fixed)[0]) < kept(learning)[0]
    assert kept(learning)[1] > kept(untrained)[1]


def test_it_is_stored_as_signs_are_and_the_same_each_time() -> None:
    one, other = learnt(5), learnt(5)
    for mine, theirs in zip(one.floats(), other.floats(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    about = stored_bytes(f"learnt-{LENGTH}", CLASSES - 2, WIDTH)
    assert about == stored_bytes(f"signs-{LENGTH}", CLASSES - 2, WIDTH)
    assert one.bytes == pytest.approx(about, rel=0.1)


def test_bits_begin_balanced_whatever_the_features_mean_is() -> None:
    frames = np.concatenate(FEATURES)
    for start in CodesFrom:
        begun = beginning(TEACHER, frames, Learning(LENGTH, 0, 3, start))
        said = frames[np.concatenate(DRAWN) != BLANK]
        bits = said @ begun.projection.numpy().T
        assert np.abs(bits.mean(0)).max() < 0.3 * bits.std()
        assert begun.logits.shape == (CLASSES - 3, LENGTH)


def test_what_can_not_be_learnt_is_said() -> None:
    with pytest.raises(UsageError, match="learnt in steps"):
        encoding("learnt-64", WIDTH).fit(TEACHER.weight, EVIDENCE.moment)
    with pytest.raises(UsageError, match="multiple of 8"):
        encoding("learnt-20", WIDTH)
    with pytest.raises(UsageError, match="at most 8 times"):
        encoding("learnt-800", WIDTH)
    silent = [np.tile(MEANS[BLANK], (20, 1))]
    with pytest.raises(InputRefused, match="no frame that says anything"):
        learnt_head(TEACHER, EVIDENCE, silent, Learning(LENGTH, 1, 3), NoProgress())
