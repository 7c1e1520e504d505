"""Product quantisation along a classifier's principal axes.

V classes, d features, r axes. What a classifier's scores are made of lies in few directions, far
fewer than it has features. Along these a row is r numbers, most of them small; each part of a row
gets axes of about the same weight, large ones together with small ones, so that every byte tells
as much as any other. At 1,024 features it takes half the bytes of products of the features
themselves for the same scores. Pure numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hcompress.heads.encodings.fit import ENTRIES, damped, fit_ints, k_means, roots
from hcompress.onnx_writer.packed import LowRank, Products

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MOST_AXES: Final = 4
"""Axes to a part."""
BITS: Final = 5
"""Of an axis' numbers: at 1,024 features and 128 parts, 8 bits had 1% less error than 6, and 4 had
6% more."""
GROUP: Final = 128
"""Of an axis' numbers, how many share a scale."""


def fit_rotated(weight: Floats, moment: NDArray[Any], parts: int, seed: int) -> LowRank:
    """Rows in ``parts`` bytes. There are no more parts than features."""
    axes, weights = principal(weight, moment, parts * min(MOST_AXES, weight.shape[1] // parts))
    order = in_parts(weights, parts)
    right = fit_ints(axes[order], moment, BITS, GROUP)
    along = coordinates(weight, moment, right.floats())
    rng = np.random.Generator(np.random.PCG64(seed))
    found = [k_means(part, min(ENTRIES, len(weight)), rng) for part in np.split(along, parts, 1)]
    codes = np.stack([chosen for _, chosen in found], axis=1).astype(np.uint8)
    books = np.stack([centres for centres, _ in found]).astype(np.float16)
    return LowRank(Products(codes, books), right, across=True)


def principal(
    weight: Floats, moment: NDArray[Any], count: int
) -> tuple[Floats, NDArray[np.float64]]:
    """The axes [count, d] along which scores differ most, and how much they do [count]."""
    root, back = roots(moment)
    plain = np.asarray(weight @ root, np.float64)
    sizes, turned = np.linalg.eigh(plain.T @ plain)
    sizes, turned = sizes[::-1][:count], turned[:, ::-1][:, :count]
    # A sign is as good as the other: the same one on every machine.
    turned = turned * np.where(turned[np.abs(turned).argmax(0), np.arange(count)] < 0, -1.0, 1.0)
    least = max(float(sizes[0]) * 1e-12, 1e-30)
    return (turned.T @ back).astype(np.float32), np.maximum(sizes, least)


def in_parts(weights: NDArray[np.float64], parts: int) -> NDArray[np.intp]:
    """The axes' order in which each of ``parts`` equal runs has about the same product of weights.

    ``weights`` [r] descend.
    """
    room = len(weights) // parts
    held: list[list[int]] = [[] for _ in range(parts)]
    loads = np.zeros(parts)
    for axis, size in enumerate(np.log(weights / weights[-1])):
        part = int(loads.argmin())
        held[part].append(axis)
        loads[part] = np.inf if len(held[part]) == room else loads[part] + size
    return np.array([axis for part in held for axis in part], np.intp)


def coordinates(weight: Floats, moment: NDArray[Any], axes: Floats) -> Floats:
    """Rows along axes [r, d] [V, r] that give scores nearest to the weights'."""
    whole = axes.astype(np.float64)
    met = whole @ damped(moment)
    made = np.linalg.solve(met @ whole.T, met @ weight.T.astype(np.float64)).T
    return np.ascontiguousarray(made, np.float32)
