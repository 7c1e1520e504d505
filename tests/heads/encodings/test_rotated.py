"""Product quantisation along principal axes."""

from __future__ import annotations

import numpy as np
import pytest

from hcompress.heads.encodings.fit import fit_products
from hcompress.heads.encodings.rotated import coordinates, fit_rotated, in_parts, principal
from hcompress.onnx_writer.packed import Packed, Plain, Products

RNG = np.random.default_rng(5)
CLASSES, WIDTH, INNER = 700, 64, 12
# Scores of few directions, as those of a classifier wider than it needs.
WEIGHT = (RNG.normal(size=(CLASSES, INNER)) @ RNG.normal(size=(INNER, WIDTH))).astype(np.float32)
WEIGHT += RNG.normal(size=WEIGHT.shape).astype(np.float32) / 20
FEATURES = RNG.normal(size=(4000, WIDTH)) * np.linspace(3, 0.1, WIDTH)
MOMENT = FEATURES.T @ FEATURES / len(FEATURES)


def error(made: Packed) -> float:
    off = made.floats() - WEIGHT
    return float(np.einsum("ij,jk,ik->", off, MOMENT, off))


def test_axes_come_by_weight_and_give_the_scores_back() -> None:
    axes, weights = principal(WEIGHT, MOMENT, WIDTH)
    assert np.all(np.diff(weights) <= 0)
    np.testing.assert_allclose(coordinates(WEIGHT, MOMENT, axes) @ axes, WEIGHT, atol=1e-2)
    few = coordinates(WEIGHT, MOMENT, axes[:INNER]) @ axes[:INNER]
    assert (
        np.square((few - WEIGHT) @ FEATURES.T).mean() < 0.01 * np.square(WEIGHT @ FEATURES.T).mean()
    )


@pytest.mark.parametrize("parts", [1, 3, 16, 32])
def test_parts_weigh_the_same(parts: int) -> None:
    weights = np.geomspace(1e4, 1, 96)
    order = in_parts(weights, parts)
    assert sorted(order) == list(range(96))
    logs = np.log(weights)[order].reshape(parts, -1).sum(1)
    assert logs.max() - logs.min() < np.log(1e4) / 2


@pytest.mark.parametrize("parts", [8, 16])
def test_it_loses_less_than_products_of_the_features(parts: int) -> None:
    assert error(fit_rotated(WEIGHT, MOMENT, parts, 1)) < 0.5 * error(
        fit_products(WEIGHT, MOMENT, parts, 1)
    )


def test_rounded_axes_are_made_good_along_them() -> None:
    """Coordinates are those of the axes that are stored, not of those that were found."""
    axes, _ = principal(WEIGHT, MOMENT, 16)
    crude = np.sign(axes) * np.float32(np.abs(axes).mean())
    off = error(Plain(coordinates(WEIGHT, MOMENT, crude) @ crude))
    assert off < error(Plain(coordinates(WEIGHT, MOMENT, axes) @ crude))


def test_fewer_classes_than_entries() -> None:
    made = fit_rotated(WEIGHT[:9], MOMENT, 8, 1)
    assert isinstance(made.left, Products)
    assert made.left.books.shape == (8, 9, 4)
    np.testing.assert_allclose(made.floats(), WEIGHT[:9], atol=1.0)


def test_features_that_never_speak_are_no_trouble() -> None:
    silent = MOMENT.copy()
    silent[5:], silent[:, 5:] = 0, 0
    made = fit_rotated(WEIGHT, silent, 4, 1)
    assert np.isfinite(made.floats()).all()
    cut = made.cut(3, 20)
    np.testing.assert_array_equal(cut.floats(), made.floats()[3:20])
