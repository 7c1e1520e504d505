"""Fitting an encoding to a classifier's columns and to the decision features that it is given.

V classes, d features. What is kept is what the classifier answers: with the features' second
moment M the error of a column is (w - w')ᵀ M (w - w'), the mean square of what its score is off by.
Every class counts the same, however rare. Pure numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hcompress.compute.rounding import DAMPING, group_size, inverse_factors, rounded
from hcompress.onnx_writer.packed import Halves, LowRank, Packed, Products, Signs
from hcompress.onnx_writer.whole_numbers import Ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

ENTRIES: Final = 256
"""Of a book: as many as a byte tells apart."""
ROUNDS: Final = 25
"""Of k-means."""
SWEEPS: Final = 3
"""Of the bits of codes."""
AT_ONCE: Final = 512
"""Points whose distances to all entries stay in a processor's cache."""
BLOCK: Final = 64
"""Columns whose corrections are gathered before they reach the columns behind."""


def fit_ints(weight: Floats, moment: NDArray[Any], bits: int, group: int | None = None) -> Ints:
    """Whole numbers, a scale a class or for ``group`` features of it."""
    size = weight.shape[1] if group is None else group_size(weight.shape[1], group)
    return Ints.of(rounded(weight, bits, size, moment, alike=True))


def fit_halves(weight: Floats) -> Halves:
    return Halves(weight.astype(np.float16))


def fit_low_rank(weight: Floats, moment: NDArray[Any], rank: int, bits: int) -> LowRank:
    """The best matrix of that rank for these features, its classes in whole numbers."""
    root, back = roots(moment)
    _, _, across = np.linalg.svd(weight @ root, full_matrices=False)
    basis = across[:rank]  # [rank, d], orthonormal where errors are plain
    left = np.asarray(weight @ root @ basis.T, np.float32)
    right = np.asarray((basis @ back).T, np.float32)
    kept = fit_ints(left, np.eye(len(basis)), bits)  # fewer classes than that have a lower rank
    return LowRank(kept, Halves(right.astype(np.float16)))


def fit_products(
    weight: Floats, moment: NDArray[Any], parts: int, seed: int, entries: int = ENTRIES
) -> Products:
    """Each of ``parts`` equal parts of a row by an entry of that part's book.

    A part's error is made good by the parts behind it, as `compute.rounding` does with numbers;
    near entries are told by the error that is left after that.
    """
    rows, columns = weight.shape
    width = columns // parts
    if width * parts != columns:
        raise ValueError(f"{parts} parts do not divide {columns} features")
    rng = np.random.Generator(np.random.PCG64(seed))
    factors = inverse_factors(moment)
    work = weight.astype(np.float32).copy()
    codes = np.zeros((rows, parts), np.uint8)
    books = np.zeros((parts, min(entries, rows), width), np.float16)
    block = width * max(1, BLOCK // width)
    for first in range(0, columns, block):
        end = min(first + block, columns)
        errors = np.zeros((rows, end - first), np.float32)
        for start in range(first, end, width):
            here, part = slice(start, start + width), start // width
            corner = factors[here, here]
            points = _solved_right(work[:, here], corner)
            centres, chosen = k_means(points, books.shape[1], rng)
            books[part] = (centres @ corner).astype(np.float16)
            codes[:, part] = chosen
            off = _solved_right(work[:, here] - books[part].astype(np.float32)[chosen], corner)
            work[:, here.stop : end] -= off @ factors[here, here.stop : end]
            errors[:, start - first : here.stop - first] = off
        work[:, end:] -= errors @ factors[first:end, end:]
    return Products(codes, books)


def _solved_right(rows: Floats, corner: Floats) -> Floats:
    """X with X corner = rows [rows, width]."""
    return np.linalg.solve(corner.T, rows.T).T.astype(np.float32)


def k_means(
    points: Floats, entries: int, rng: np.random.Generator
) -> tuple[Floats, NDArray[np.intp]]:
    """Centres [entries, width] of points [rows, width], and each point's nearest."""
    centres = points[rng.permutation(len(points))[:entries]].copy()
    chosen = nearest(points, centres)
    for _ in range(ROUNDS):
        counts = np.bincount(chosen, minlength=entries)
        sums = np.stack([np.bincount(chosen, column, entries) for column in points.T], axis=1)
        full = counts > 0
        centres[full] = (sums[full] / counts[full, None]).astype(np.float32)
        if not full.all():  # an empty entry goes where the error is greatest
            far = np.argsort(-((points - centres[chosen]) ** 2).sum(1), kind="stable")
            centres[~full] = points[far[: int((~full).sum())]]
        again = nearest(points, centres)
        if np.array_equal(again, chosen):
            break
        chosen = again
    return centres, chosen


def nearest(points: Floats, centres: Floats) -> NDArray[np.intp]:
    """Which centre is nearest to each point, ties to the first."""
    sizes = (centres * centres).sum(1, keepdims=True) / 2
    towards = np.ascontiguousarray(np.concatenate([centres, -sizes], axis=1).T)
    longer = np.concatenate([points, np.ones((len(points), 1), np.float32)], axis=1)
    found = [
        np.argmax(longer[start : start + AT_ONCE] @ towards, axis=1)
        for start in range(0, len(points), AT_ONCE)
    ]
    return np.concatenate(found)


def fit_signs(weight: Floats, moment: NDArray[Any], length: int, seed: int) -> LowRank:
    """Codes of ``length`` bits a class, met by a real-valued query of as many numbers.

    w ≈ signs · P: signs and P are fitted in turn. Where the paper's classifier takes the sign of
    the query too, this one does not.
    """
    root, back = roots(moment)
    plain = np.asarray(weight @ root, np.float32)
    rng = np.random.Generator(np.random.PCG64(seed))
    signs = np.where(plain @ rng.standard_normal((plain.shape[1], length)) >= 0, 1.0, -1.0)
    signs = signs.astype(np.float32)
    basis = _solved(signs, plain)
    for _ in range(SWEEPS):
        _flip(signs, plain, basis)
        basis = _solved(signs, plain)
    query = np.asarray((basis @ back).T, np.float16)  # [d, length]
    return LowRank(Signs(signs > 0), Halves(query))


def _flip(signs: Floats, target: Floats, basis: Floats) -> None:
    """One pass over the bits: each class turns those that bring it nearer, in place."""
    steps = basis @ basis.T
    wanted = target @ basis.T
    for start in range(0, len(steps), BLOCK):
        here = slice(start, start + BLOCK)
        # What is left along each bit's step, a bit a row.
        left = np.ascontiguousarray((wanted[:, here] - signs @ steps[:, here]).T)
        near, old = steps[here, here], np.ascontiguousarray(signs[:, here].T)
        for bit in range(len(near)):
            # Without the bit; its sign is that of what is then left.
            without = left[bit] + old[bit] * near[bit, bit]
            turned = np.where(without >= 0, 1, -1).astype(np.float32)
            left[bit + 1 :] += near[bit, bit + 1 :, None] * (old[bit] - turned)
            old[bit] = turned
        signs[:, here] = old.T


def _solved(signs: Floats, target: Floats) -> Floats:
    gram = (signs.T @ signs).astype(np.float64)
    gram += 1e-3 * len(signs) * np.eye(len(gram))
    return np.asarray(np.linalg.solve(gram, signs.T @ target), np.float32)


def roots(moment: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """R with R Rᵀ = M, damped, and its inverse: in w R errors are plain squares."""
    root = np.asarray(np.linalg.cholesky(damped(moment)), np.float64)
    return root, np.asarray(np.linalg.inv(root), np.float64)


def damped(moment: NDArray[Any]) -> NDArray[np.float64]:
    """The features' second moment [d, d], as if each had a share of noise of its own."""
    whole = moment.astype(np.float64)
    return whole + max(DAMPING * float(np.diagonal(whole).mean()), 1e-12) * np.eye(len(whole))


def made_good(bias: Floats, weight: Floats, packed: Packed, mean: Floats) -> Floats:
    """Biases [V] by which scores are right at the mean of the features."""
    return np.asarray(bias + (weight - packed.floats()) @ mean, np.float32)
