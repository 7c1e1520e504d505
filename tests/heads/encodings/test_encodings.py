"""Encodings of a classifier: what each keeps, and where special and dead classes are put."""

from __future__ import annotations

import numpy as np
import pytest

from hcompress.errors import UsageError
from hcompress.heads.encodings.encode import Encoded, Evidence, Teacher, encoded
from hcompress.heads.encodings.fit import made_good
from hcompress.heads.encodings.menu import encoding, menu
from hcompress.onnx_writer.packed import Spread

RNG = np.random.default_rng(11)
CLASSES, WIDTH = 600, 24
DEAD = np.array([3, 9, 10, 599])
WEIGHT = RNG.normal(size=(CLASSES, WIDTH)).astype(np.float32)
WEIGHT[DEAD] = RNG.normal(size=WIDTH) / 9
FEATURES = (RNG.normal(size=(3000, WIDTH)) * np.linspace(2, 0.2, WIDTH) + 0.3).astype(np.float32)
TEACHER = Teacher(WEIGHT, RNG.normal(size=CLASSES).astype(np.float32), (0,), DEAD)
EVIDENCE = Evidence.of(FEATURES, TEACHER)


def head(name: str) -> Encoded:
    return encoded(TEACHER, EVIDENCE, encoding(name, WIDTH, 1).fit)


def off(made: Encoded) -> float:
    """Mean square of what living classes' scores are off by, beside their variance."""
    weight, bias = made.floats()
    live = np.setdiff1d(np.arange(CLASSES), DEAD)
    wanted = FEATURES @ TEACHER.weight[live].T + TEACHER.bias[live]
    return float(np.square(FEATURES @ weight[live].T + bias[live] - wanted).mean() / wanted.var())


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("fp16", 1e-6), ("int8", 1e-4), ("int6", 1e-3), ("int5", 5e-3), ("int4", 0.02),
        ("int3", 0.1), ("products-12", 0.02), ("products-8", 0.08), ("low-rank-18", 0.03),
        ("signs-96", 0.1), ("rotated-12", 0.02), ("rotated-8", 0.08), ("rotated-24", 2e-3),
        ("by-use-4.0", 0.05),
        ("by-use-3.0", 0.2), ("by-use-2.5", 0.4),
    ],
)  # fmt: skip
def test_scores_stay(name: str, most: float) -> None:
    assert off(head(name)) < most


def test_fewer_bytes_keep_less() -> None:
    for names in (("int8", "int6", "int4", "int3"), ("products-12", "products-6", "products-3")):
        made = [head(name) for name in names]
        sizes, errors = [one.bytes for one in made], [off(one) for one in made]
        assert sizes == sorted(sizes, reverse=True)
        assert errors == sorted(errors)


@pytest.mark.parametrize("name", [one.name for one in menu(WIDTH)])
def test_special_classes_are_floats_and_dead_ones_are_one(name: str) -> None:
    weight, bias = head(name).floats()
    assert weight.shape == (CLASSES, WIDTH)
    assert bias.shape == (CLASSES,)
    np.testing.assert_allclose(weight[0], TEACHER.weight[0], rtol=1e-3, atol=1e-4)
    assert len(np.unique(weight[DEAD], axis=0)) == 1
    assert len(set(bias[DEAD].tolist())) == 1
    np.testing.assert_allclose(weight[DEAD[0]], TEACHER.weight[DEAD[0]], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("special", [(0,), (CLASSES - 1,), (0, CLASSES - 1), (5,), ()])
@pytest.mark.parametrize("dead", [DEAD[:3], DEAD[:0]])
def test_classes_find_their_places(special: tuple[int, ...], dead: np.ndarray) -> None:
    """At the beginning, at the end or in the midst: int8 is near enough to tell."""
    teacher = Teacher(TEACHER.weight, TEACHER.bias, special, dead)
    weight, bias = encoded(teacher, EVIDENCE, encoding("int8", WIDTH).fit).floats()
    np.testing.assert_allclose(weight, TEACHER.weight, atol=0.15)
    live = np.setdiff1d(np.arange(CLASSES), dead)
    assert np.abs(bias - TEACHER.bias)[live].max() < 0.2


def test_without_dead_classes_no_mask_is_stored() -> None:
    teacher = Teacher(TEACHER.weight, TEACHER.bias, (0,), DEAD[:0])
    made = encoded(teacher, EVIDENCE, encoding("int4", WIDTH).fit)
    assert not isinstance(made.weight, Spread)
    assert not isinstance(made.bias, Spread)


def test_biases_are_bytes_where_weights_are_rougher() -> None:
    for name, wanted in (("fp16", False), ("int8", False), ("int3", True), ("products-8", True)):
        made = head(name)
        rough = made.bias.bytes < 1.6 * CLASSES
        assert rough == wanted, name
        live = np.setdiff1d(np.arange(CLASSES), [0, *DEAD])
        own = made_good(
            TEACHER.bias[TEACHER.coded],
            TEACHER.weight[TEACHER.coded],
            encoding(name, WIDTH, 1).fit(
                TEACHER.weight[TEACHER.coded], EVIDENCE.among(TEACHER.coded)
            ),
            EVIDENCE.mean,
        )
        np.testing.assert_allclose(made.floats()[1][live], own, atol=0.03 if wanted else 0.002)
        assert made.floats()[1][0] == pytest.approx(TEACHER.bias[0], rel=1e-3)


def test_a_bias_that_a_byte_cannot_tell_stays_a_float() -> None:
    bias = TEACHER.bias.copy()
    bias[7] = -1e9
    teacher = Teacher(TEACHER.weight, bias, (0,), DEAD)
    found = encoded(teacher, EVIDENCE, encoding("int3", WIDTH).fit).floats()[1]
    assert found[7] < -6e4
    near = [i for i in range(20) if i not in (7, *DEAD)]
    np.testing.assert_allclose(found[near], TEACHER.bias[near], atol=0.5)


def test_the_same_seed_gives_the_same_bytes() -> None:
    one, other = head("products-8"), head("products-8")
    np.testing.assert_array_equal(one.floats()[0], other.floats()[0])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("int9", "one of"), ("by-use-8.5", "one of"), ("by-use-1.5", "one of"),
        ("products-5", "one of 1, 2, 3, 4, 6, 8, 12, 24"),
        ("low-rank-24", "below the 24 features"), ("", "one of"), ("products-0", "one of"),
        ("rotated-25", "at most the 24 features"),
    ],
)  # fmt: skip
def test_what_there_is_not_is_refused(name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        encoding(name, WIDTH)


def test_bits_turn_as_they_would_one_by_one() -> None:
    """A block's corrections are gathered: the codes are those of a plain pass over the bits."""
    from hcompress.heads.encodings.fit import BLOCK, _flip

    length = BLOCK + 9
    target = RNG.normal(size=(50, WIDTH)).astype(np.float32)
    basis = (RNG.normal(size=(length, WIDTH)) / 9).astype(np.float32)
    signs = np.where(RNG.random((50, length)) < 0.5, 1, -1).astype(np.float32)
    plain = signs.astype(np.float64)
    for bit in range(length):
        without = target - plain @ basis + np.outer(plain[:, bit], basis[bit])
        plain[:, bit] = np.where(without @ basis[bit] >= 0, 1, -1)
    _flip(signs, target, basis)
    np.testing.assert_array_equal(signs, plain)


def test_nearest_is_nearest() -> None:
    from hcompress.heads.encodings.fit import AT_ONCE, nearest

    points = RNG.normal(size=(AT_ONCE + 7, 5)).astype(np.float32)
    centres = RNG.normal(size=(31, 5)).astype(np.float32)
    far = ((points[:, None] - centres) ** 2).sum(-1)
    np.testing.assert_array_equal(nearest(points, centres), far.argmin(1))
