"""A head that learns on cached features answers more as the original does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from hcompress.errors import UsageError
from hcompress.heads.encodings.encode import Encoded, Evidence, Teacher, moved
from hcompress.heads.encodings.fit import made_good
from hcompress.heads.encodings.menu import encoding
from hcompress.progress import NoProgress
from hcompress.training.head_trainer import distilled, distilled_head, learner

if TYPE_CHECKING:
    from hcompress.compress.encode_head import Ground

RNG = np.random.default_rng(8)
CLASSES, WIDTH = 300, 32
WEIGHT = RNG.normal(size=(CLASSES, WIDTH)).astype(np.float32)
BIAS = RNG.normal(size=CLASSES).astype(np.float32)
FEATURES = [RNG.normal(size=(40, WIDTH)).astype(np.float32) for _ in range(50)]
TEACHER = Teacher(WEIGHT, BIAS, (0,), np.array([], np.intp))


def trained(name: str, steps: int) -> Encoded:
    evidence = Evidence.of(np.concatenate(FEATURES), TEACHER)
    coded = TEACHER.coded
    packed = encoding(name, WIDTH).fit(WEIGHT[coded], evidence.among(coded))
    bias = BIAS.copy()
    bias[coded] = made_good(bias[coded], WEIGHT[coded], packed, evidence.mean)
    error = moved(TEACHER, packed, evidence)
    return distilled(TEACHER, packed, bias, error, FEATURES, steps, 3, NoProgress())


def kept(head: Encoded) -> float:
    frames = np.concatenate(FEATURES)
    weight, bias = head.floats()
    return float(
        ((frames @ weight.T + bias).argmax(1) == (frames @ WEIGHT.T + BIAS).argmax(1)).mean()
    )


@pytest.mark.parametrize("name", ["rotated-8", "products-8"])
def test_training_keeps_more_in_as_many_bytes(name: str) -> None:
    before, after = trained(name, 0), trained(name, 30)
    assert after.bytes == before.bytes
    assert kept(after) > kept(before)


@pytest.mark.parametrize("name", ["by-use-3.5", "signs-32", "low-rank-8"])
def test_steps_that_would_train_nothing_are_refused(name: str) -> None:
    evidence = Evidence.of(np.concatenate(FEATURES), TEACHER)
    ground = SimpleNamespace(teacher=TEACHER, evidence=evidence, fitted=FEATURES)
    with pytest.raises(UsageError, match=f"{name}: nothing of it is trained"):
        distilled_head(cast("Ground", ground), encoding(name, WIDTH), 5, 3, NoProgress())


def test_what_does_not_learn_stays() -> None:
    packed = encoding("signs-32", WIDTH).fit(
        WEIGHT, Evidence(np.zeros(WIDTH, np.float32), np.eye(WIDTH), np.ones(CLASSES))
    )
    assert learner(packed) is None
    before, after = trained("signs-32", 0), trained("signs-32", 5)
    np.testing.assert_array_equal(before.floats()[0], after.floats()[0])
