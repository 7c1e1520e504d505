"""Whole numbers of a scale a group: scales searched for the least error, errors made good.

What is rounded later makes good what was rounded before, as far as the inputs allow (OPTQ,
Frantar et al. 2022): with the inputs' second moment H, the error that counts is that of the
output, tr(D H Dᵀ) for a difference D, not that of the weights. Pure numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

DAMPING: Final = 0.1
"""Of the mean of H's diagonal, added to it: what inputs never did on drawn lines they may do on
photographs. Ten times less lost a point of them at 5 bits (reports/LOG.md)."""
RATIOS: Final = tuple(float(ratio) for ratio in np.linspace(1.0, 0.5, 21))
"""Shares of a group's largest weight that may become its largest number."""
BLOCK: Final = 64
"""Columns whose corrections are gathered before they reach the columns behind."""


class Rounded(NamedTuple):
    """A matrix in whole numbers."""

    values: NDArray[np.int8]
    """[rows, columns], from -2^(bits-1) to 2^(bits-1) - 1."""
    scales: NDArray[np.float16]
    """[rows, groups]; a scale may be negative: the numbers reach further below than above."""


def group_size(columns: int, wanted: int) -> int:
    """The divisor of ``columns`` nearest to ``wanted`` by ratio; the whole row if none is near.

    A scale for fewer than half of what was wanted would cost more than it gives.
    """
    near = [n for n in range(1, columns + 1) if columns % n == 0 and wanted <= 2 * n <= 4 * wanted]
    return min(near, key=lambda n: (max(n / wanted, wanted / n), n), default=columns)


def rounded(weight: Floats, bits: int, group: int, moment: NDArray[Any] | None = None) -> Rounded:
    """weight [rows, columns] in numbers of ``bits`` bits, a scale for ``group`` columns.

    ``moment`` is the inputs' second moment: [columns, columns], with which errors are made good,
    its diagonal [columns], which only weighs them, or None. ``group`` divides the columns.
    """
    weight = weight.astype(np.float32)
    rows, columns = weight.shape
    importance = _importance(columns, moment)
    if moment is None or moment.ndim == 1:
        blocks = weight.reshape(rows, -1, group)
        scales = searched(blocks, bits, importance.reshape(-1, group))
        values = _numbers(blocks, scales[..., None], bits)
        return Rounded(values.reshape(rows, columns).astype(np.int8), scales.astype(np.float16))
    return _compensated(weight, bits, group, moment, importance)


def _importance(columns: int, moment: NDArray[Any] | None) -> Floats:
    if moment is None:
        return np.ones(columns, np.float32)
    diagonal = np.diagonal(moment) if moment.ndim == 2 else moment
    whole = diagonal.astype(np.float64)
    # Never nothing: an input that was silent on these lines may speak on others.
    return np.asarray(whole + 1e-3 * max(float(whole.mean()), 1e-30), np.float32)


def searched(blocks: Floats, bits: int, importance: Floats) -> Floats:
    """Scales [rows, groups] for blocks [rows, groups, group] of the least weighted error.

    Each is one that FP16 holds, and never zero.
    """
    most, least = 2 ** (bits - 1) - 1, 2 ** (bits - 1)
    high, low = blocks.max(-1), -blocks.min(-1)
    best = np.ones(blocks.shape[:2], np.float32)
    error = np.full(blocks.shape[:2], np.inf, np.float32)
    # Turned round, the numbers' longer side lies where the weights' is.
    for sign, up, down in ((1, high, low), (-1, low, high)):
        full = np.maximum(up / max(most, 1), down / least)
        for ratio in RATIOS if bits < 8 else RATIOS[:5]:
            scale = sign * np.maximum(full * ratio, 2.0**-24).astype(np.float16)
            scale = scale.astype(np.float32)
            moved = _numbers(blocks, scale[..., None], bits) * scale[..., None] - blocks
            found = (moved * moved * importance).sum(-1)
            better = found < error
            best, error = np.where(better, scale, best), np.where(better, found, error)
    return best


def _numbers(weight: Floats, scale: Floats, bits: int) -> Floats:
    half = 2 ** (bits - 1)
    made: Floats = np.clip(np.rint(weight / scale), -half, half - 1)
    return made


def _compensated(
    weight: Floats, bits: int, group: int, moment: NDArray[Any], importance: Floats
) -> Rounded:
    rows, columns = weight.shape
    work = weight.astype(np.float32).copy()
    factors = inverse_factors(moment)
    values = np.zeros((rows, columns), np.int8)
    scales = np.zeros((rows, columns // group), np.float32)
    for start, end in _blocks(columns, group):
        errors = np.zeros((rows, end - start), np.float32)
        for column in range(start, end):
            place = column // group
            if column % group == 0:
                part = slice(column, column + group)
                found = searched(work[:, None, part], bits, importance[None, part])
                scales[:, place] = found[:, 0]
            scale = scales[:, place]
            values[:, column] = _numbers(work[:, column], scale, bits)
            error = (work[:, column] - values[:, column] * scale) / factors[column, column]
            work[:, column + 1 : end] -= error[:, None] * factors[column, column + 1 : end]
            errors[:, column - start] = error
        work[:, end:] -= errors @ factors[start:end, end:]
    return Rounded(values, scales.astype(np.float16))


def _blocks(columns: int, group: int) -> list[tuple[int, int]]:
    """Where blocks begin and end: some whole groups, or a part of one. A group begins one."""
    if group <= BLOCK:
        size = BLOCK // group * group
        return [(start, min(start + size, columns)) for start in range(0, columns, size)]
    return [
        (start, min(start + BLOCK, first + group))
        for first in range(0, columns, group)
        for start in range(first, first + group, BLOCK)
    ]


def inverse_factors(moment: NDArray[Any]) -> Floats:
    """U, upper triangular, with H⁻¹ = Uᵀ U for the damped moment H [columns, columns]."""
    damped = moment.astype(np.float64)
    damped = damped + max(DAMPING * float(np.diagonal(damped).mean()), 1e-12) * np.eye(len(damped))
    lower = np.linalg.cholesky(np.linalg.inv(damped))
    made: Floats = np.ascontiguousarray(lower.T).astype(np.float32)
    return made
