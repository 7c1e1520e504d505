"""Codes met by distance: what that keeps beside a real-valued query."""

from __future__ import annotations

import numpy as np

from hcompress.heads.encodings.by_distance import by_distance
from hcompress.heads.encodings.encode import encoded
from hcompress.heads.encodings.menu import encoding
from tests.heads.encodings.test_encodings import (
    CLASSES,
    DEAD,
    EVIDENCE,
    FEATURES,
    TEACHER,
    WEIGHT,
    WIDTH,
)


def test_a_real_query_keeps_most_then_a_second_look_then_distance_alone() -> None:
    made = encoded(TEACHER, EVIDENCE, encoding("signs-96", WIDTH, 1).fit)
    alone, again = by_distance(made, TEACHER, EVIDENCE)
    assert (alone.name, again.name) == ("codes-96", "codes-96+5")
    wanted = (FEATURES @ WEIGHT.T + TEACHER.bias).argmax(1)
    weight, bias = made.floats()
    found = [(FEATURES @ weight.T + bias), again.scores(FEATURES), alone.scores(FEATURES)]
    assert [one.shape for one in found] == [(len(FEATURES), CLASSES)] * 3
    real, looked, distance = (float((one.argmax(1) == wanted).mean()) for one in found)
    assert real >= looked > distance > 0.3
    # A class without a code is scored as it is stored, whichever way the others are.
    for one in found:
        np.testing.assert_allclose(one[:, [0, *DEAD]], found[0][:, [0, *DEAD]], rtol=1e-6)


def test_a_distance_is_counted_in_bits_that_agree() -> None:
    made = encoded(TEACHER, EVIDENCE, encoding("signs-32", WIDTH, 1).fit)
    alone, _ = by_distance(made, TEACHER, EVIDENCE)
    scores = (alone.scores(FEATURES[:4]) - alone.bias)[:, TEACHER.coded] / alone.unit
    np.testing.assert_allclose(scores, np.rint(scores), atol=1e-3)
    assert np.abs(scores).max() <= 32
    assert not (np.rint(scores) % 2).any()


def test_what_has_no_codes_has_no_distances() -> None:
    made = encoded(TEACHER, EVIDENCE, encoding("int4", WIDTH, 1).fit)
    assert by_distance(made, TEACHER, EVIDENCE) == ()
