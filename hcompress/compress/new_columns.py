"""Columns for new classes from a few frames each; no other column is touched.

They begin where whitened class means say: the model's own columns are, about, a linear map of the
means of their features, which is fitted to classes that other lines show. Then they and their
biases are fitted by gradients, so that on its own frames a new class wins and on frames of other
lines it does not. What the old classes score is a constant in that. Pure numpy.

n new classes, V old ones, d features, M frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hcompress.progress import Progress

    Floats = NDArray[np.float32]
    Ids = NDArray[np.intp]

AT_ONCE: Final = 2048
DAMPING: Final = 1e-3
"""Of the means' moment, so that it can be inverted: a share of its mean."""
SURE: Final = 0.5
"""The probability from which a frame counts as showing the class that it is answered by."""
BELOW: Final = 20.0
"""How far a class' own frames stand above all others' at the beginning, at most."""
RATE: Final = 0.05
"""Of the columns' own size, what a step moves."""
_MOMENTS: Final = (0.9, 0.999)
_BLANKS: Final = 8
"""Of blank frames, one in so many is looked at."""


@dataclass(frozen=True)
class Known:
    """Frames of lines without new characters, and what the model makes of them."""

    features: Floats
    """[M, d]."""
    ids: Ids
    """[M], the best class."""
    chances: Floats
    """[M], its probability."""
    weights: Floats
    """[M], the natural logarithm of the sum of all classes' exponentials."""
    blank: int


def judged(lines: Sequence[Floats], weight: Floats, bias: Floats, blank: int) -> Known:
    """The frames of lines [T, d] by a classifier [V, d] and [V]. Of blanks, one in eight."""
    features = np.concatenate(lines)
    ids = np.empty(len(features), np.intp)
    best, sums = np.empty((2, len(features)), np.float32)
    for start in range(0, len(features), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        scores = features[part] @ weight.T + bias
        ids[part], best[part] = scores.argmax(1), scores.max(1)
        sums[part] = best[part] + np.log(np.exp(scores - best[part, None]).sum(1))
    kept = (ids != blank) | (np.arange(len(ids)) % _BLANKS == 0)
    chances = np.exp(best - sums)
    return Known(features[kept], ids[kept], chances[kept], sums[kept], blank)


@dataclass(frozen=True)
class Columns:
    """New classes' columns [n, d] and biases [n]."""

    weight: Floats
    bias: Floats


def fitted(
    own: Known,
    which: Ids,
    count: int,
    others: Known,
    weight: Floats,
    steps: int,
    progress: Progress,
) -> Columns:
    """Columns for ``count`` classes; ``which`` [M] of them each of the ``own`` frames shows.

    ``weight`` [V, d] is the old classes'.
    """
    begun = _begun(own, which, count, others, weight)
    pull = RATE * float(np.sqrt(np.mean(weight**2)))
    felt = float(np.sqrt(np.mean(own.features**2)))
    w, b = begun.weight.astype(np.float64), begun.bias.astype(np.float64)
    slow_w, slow_b = _Adam(w), _Adam(b)
    progress.start("columns", steps)
    for step in range(1, steps + 1):
        rate = pull * (1 - (step - 1) / steps)
        down = [_gradient(own, w, b, which), _gradient(others, w, b, None)]
        w -= rate * slow_w.towards(down[0][0] + down[1][0], step)
        b -= rate * felt * slow_b.towards(down[0][1] + down[1][1], step)
        progress.advance()
    progress.finish()
    return Columns(w.astype(np.float32), b.astype(np.float32))


def _begun(own: Known, which: Ids, count: int, others: Known, weight: Floats) -> Columns:
    """By the linear map from means of features to columns."""
    sure = (others.ids != others.blank) & (others.chances > SURE)
    means = _means(own.features, which, count)
    columns = np.zeros_like(means)
    if sure.any():
        classes, group = np.unique(others.ids[sure], return_inverse=True)
        seen = _means(others.features[sure], group.reshape(-1), len(classes))
        columns = _mapped(seen, weight[classes], means)
    return Columns(columns, _between(own, which, others, columns))


def _mapped(seen: Floats, theirs: Floats, means: Floats) -> Floats:
    """Columns [n, d] for means [n, d], as those of classes that were seen are to theirs."""
    centre, middle = seen.mean(0), theirs.mean(0)
    apart = (seen - centre).astype(np.float64)
    moment = apart.T @ apart / len(apart)
    moment += max(DAMPING * float(np.trace(moment)) / len(moment), 1e-12) * np.eye(len(moment))
    across = np.linalg.solve(moment, apart.T @ (theirs - middle) / len(apart))
    return np.asarray((means - centre) @ across + middle, np.float32)


def _between(own: Known, which: Ids, others: Known, columns: Floats) -> Floats:
    """Biases [n] by which a class' own frames stand as far above what the old classes give there
    as the nearest frame of other lines stands below."""
    margins = (own.features * columns[which]).sum(1) - own.weights
    above = _means(margins[:, None], which, len(columns))[:, 0]
    below = np.full(len(columns), -np.inf, np.float32)
    for start in range(0, len(others.features), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        there = others.features[part] @ columns.T - others.weights[part, None]
        below = np.maximum(below, there.max(0))
    return np.asarray(-(above + np.maximum(below, above - 2 * BELOW)) / 2, np.float32)


def _means(features: Floats, which: Ids, count: int) -> Floats:
    """[count, d]: the mean of each class' frames."""
    sums = np.zeros((count, features.shape[1]))
    np.add.at(sums, which, features)
    held = np.bincount(which, minlength=count)[:, None]
    return (sums / np.maximum(held, 1)).astype(np.float32)


def _gradient(
    frames: Known, w: NDArray[np.float64], b: NDArray[np.float64], which: Ids | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the mean cross-entropy: what the frames show is ``which``, or an old class."""
    down_w, down_b = np.zeros_like(w), np.zeros_like(b)
    for start in range(0, len(frames.features), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        features = frames.features[part]
        scores = features @ w.T.astype(np.float32) + b.astype(np.float32)
        most = np.maximum(scores.max(1), frames.weights[part])
        shares = np.exp(scores - most[:, None])
        shares /= (shares.sum(1) + np.exp(frames.weights[part] - most))[:, None]
        if which is not None:
            shares[np.arange(len(shares)), which[part]] -= 1
        down_w += shares.T @ features
        down_b += shares.sum(0)
    count = max(1, len(frames.features))
    return down_w / count, down_b / count


class _Adam:
    """Running means of gradients and of their squares."""

    def __init__(self, like: NDArray[np.float64]) -> None:
        self._mean, self._square = np.zeros_like(like), np.zeros_like(like)

    def towards(self, gradient: NDArray[np.float64], step: int) -> NDArray[np.float64]:
        slow, slower = _MOMENTS
        self._mean = slow * self._mean + (1 - slow) * gradient
        self._square = slower * self._square + (1 - slower) * gradient**2
        root = np.sqrt(self._square / (1 - slower**step))
        made: NDArray[np.float64] = self._mean / (1 - slow**step) / (root + 1e-12)
        return made
