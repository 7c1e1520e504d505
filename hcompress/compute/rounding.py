"""Whole numbers of a scale a group: scales searched for the least error, errors made good.

What is rounded later makes good what was rounded before, as far as the inputs allow (OPTQ,
Frantar et al. 2022): with the inputs' second moment H, the error that counts is that of the
output, tr(D H Dᵀ) for a difference D, not that of the weights. Pure numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from hcompress.compute.levels import CURVES, Levels, levels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

DAMPING: Final = 0.03
"""Of the mean of H's diagonal, added to it: what inputs never did on drawn lines they may do on
photographs. With rough lines among them so little will do (reports/LOG.md)."""
RATIOS: Final = tuple(float(ratio) for ratio in np.linspace(1.0, 0.5, 21))
"""Shares of a group's largest weight that may become its largest number."""
BLOCK: Final = 64
"""Columns whose corrections are gathered before they reach the columns behind."""


PASSES: Final = 2
"""Over all numbers and scales after the first."""
SHOWN: Final = 64
"""Rows that are asked which levels suit a matrix."""
CURVED: Final = range(3, 8)
"""Bits of numbers whose levels may be uneven: at 8 no one would see it, below 3 there are few."""
FEW: Final = 1024
"""Numbers of a matrix below which a table of levels costs more than it gives."""
SHARES: Final = 127
"""A group's scale is one of so many parts of its row's greatest, up or down: a byte for it."""
FINE: Final = 16
"""Units that the least of all rows' scales must have, for one unit to do for all of them."""


class Rounded(NamedTuple):
    """A matrix in whole numbers."""

    values: NDArray[np.int8]
    """[rows, columns], from -2^(bits-1) to 2^(bits-1) - 1."""
    units: NDArray[np.float16]
    """[rows, 1], or [1, 1] for all rows."""
    shares: NDArray[np.int8] | None
    """[rows, groups]: a group's scale is so many of its row's units; None: every row is one group,
    of one unit. A scale may be negative: the numbers reach further below than above."""
    levels: Levels
    """What the numbers stand for."""


def group_size(columns: int, wanted: int) -> int:
    """The divisor of ``columns`` nearest to ``wanted`` by ratio; the whole row if none is near.

    A scale for fewer than half of what was wanted would cost more than it gives.
    """
    near = [n for n in range(1, columns + 1) if columns % n == 0 and wanted <= 2 * n <= 4 * wanted]
    return min(near, key=lambda n: (max(n / wanted, wanted / n), n), default=columns)


def rounded(
    weight: Floats,
    bits: int,
    group: int,
    moment: NDArray[Any] | None = None,
    held: Levels | None = None,
    *,
    alike: bool = False,
) -> Rounded:
    """weight [rows, columns] in numbers of ``bits`` bits, a scale for ``group`` columns.

    ``moment`` is the inputs' second moment: [columns, columns], with which errors are made good,
    its diagonal [columns], which only weighs them, or None. ``group`` divides the columns.
    ``held`` are the numbers' levels; those that suit the weight if not given. ``alike``: rows of
    one group may have scales of one unit, where that is fine enough for the least of them.
    """
    weight = weight.astype(np.float32)
    rows, columns = weight.shape
    importance = _importance(columns, moment)
    held = held or suited(weight, bits, group, importance)
    if moment is None or moment.ndim == 1:
        blocks = weight.reshape(rows, -1, group)
        scales, _ = searched(blocks, held, importance.reshape(-1, group))
        grid = _Grid.of(scales, alike)
        values = _values(blocks, grid.near(scales)[..., None], held).reshape(rows, columns)
        return _made(values, grid.near(scales), grid, held)
    return _compensated(weight, held, group, moment, importance, alike)


def suited(weight: Floats, bits: int, group: int, importance: Floats | None = None) -> Levels:
    """The levels of the least error for a weight [rows, columns], by some of its rows."""
    if bits not in CURVED or weight.size < FEW:
        return levels(bits)
    rows, columns = weight.shape
    some = weight[:: -(-rows // SHOWN)].reshape(-1, columns // group, group)
    heed = _importance(columns, None) if importance is None else importance
    tried = (levels(bits, curve) for curve in CURVES)
    return min(
        tried, key=lambda held: float(searched(some, held, heed.reshape(-1, group))[1].sum())
    )


class _Grid(NamedTuple):
    """Which scales the rows' groups may have."""

    units: Floats
    """[rows, 1], or [1, 1] for all rows."""
    single: bool
    """A row has one group, whose scale is FP16."""

    @classmethod
    def of(cls, scales: Floats, alike: bool) -> _Grid:
        """One for scales [rows, groups], the greatest in reach."""
        single, sizes = scales.shape[1] == 1, np.abs(scales)
        units = _held(sizes.max(1, keepdims=True) / SHARES)
        if single and alike:
            common = _held(sizes.max(keepdims=True) / SHARES)
            if sizes.min() >= FINE * common:
                return cls(common, single=False)
        return cls(units, single)

    def near(self, scales: Floats) -> Floats:
        """The nearest that can be stored to each of [rows, groups], never zero."""
        if self.single:
            made = np.clip(scales, -65504, 65504).astype(np.float16).astype(np.float32)
            least = np.float32(2.0**-24)
            return np.where(made == 0, least, made)
        return self.units * self.shares(scales)

    def shares(self, scales: Floats) -> Floats:
        """How many units each of [rows, groups] is nearest to, never none."""
        shares = np.clip(np.rint(scales / self.units), -SHARES, SHARES)
        return np.where(shares == 0, np.float32(1), shares)


def _held(units: Floats) -> Floats:
    """As FP16 holds them, which grows coarse below 2^-14 and is nothing below 2^-24."""
    return np.maximum(units, 2.0**-24).astype(np.float16).astype(np.float32)


def _made(values: Floats, scales: Floats, grid: _Grid, held: Levels) -> Rounded:
    """Levels [rows, columns] with scales [rows, groups] of the grid, as they are stored."""
    numbers = held.numbers(values)
    if grid.single:
        return Rounded(numbers, scales.astype(np.float16), None, held)
    shares = grid.shares(scales).astype(np.int8)
    return Rounded(numbers, grid.units.astype(np.float16), shares, held)


def _importance(columns: int, moment: NDArray[Any] | None) -> Floats:
    if moment is None:
        return np.ones(columns, np.float32)
    diagonal = np.diagonal(moment) if moment.ndim == 2 else moment
    whole = diagonal.astype(np.float64)
    # Never nothing: an input that was silent on these lines may speak on others.
    return np.asarray(whole + 1e-3 * max(float(whole.mean()), 1e-30), np.float32)


def searched(blocks: Floats, held: Levels, importance: Floats) -> tuple[Floats, Floats]:
    """Scales [rows, groups] for blocks [rows, groups, group] of the least weighted error, and that.

    Each is one that FP16 holds, and never zero.
    """
    bits = held.bits
    least, most = -held.ends[0], held.ends[1]
    high, low = blocks.max(-1), -blocks.min(-1)
    best = np.ones(blocks.shape[:2], np.float32)
    error = np.full(blocks.shape[:2], np.inf, np.float32)
    # Turned round, the numbers' longer side lies where the weights' is.
    for sign, up, down in ((1, high, low), (-1, low, high)):
        full = np.maximum(up / max(most, 1), down / least)
        for ratio in RATIOS if bits < 8 else RATIOS[:5]:
            scale = sign * np.maximum(full * ratio, 2.0**-24).astype(np.float16)
            scale = scale.astype(np.float32)
            moved = _values(blocks, scale[..., None], held) * scale[..., None] - blocks
            found = (moved * moved * importance).sum(-1)
            better = found < error
            best, error = np.where(better, scale, best), np.where(better, found, error)
    return best, error


def _values(weight: Floats, scale: Floats, held: Levels) -> Floats:
    return held.near(weight / scale)


def _compensated(
    weight: Floats, held: Levels, group: int, moment: NDArray[Any], importance: Floats, alike: bool
) -> Rounded:
    rows, columns = weight.shape
    work = weight.astype(np.float32).copy()
    factors = inverse_factors(moment)
    values = np.zeros((rows, columns), np.float32)
    scales = np.zeros((rows, columns // group), np.float32)
    for part in _blocks(columns, group):
        errors = np.zeros((rows, part.stop - part.start), np.float32)
        for column in range(part.start, part.stop):
            place = column // group
            if column % group == 0:
                ahead = slice(column, column + group)
                found, _ = searched(work[:, None, ahead], held, importance[None, ahead])
                scales[:, place] = found[:, 0]
            scale = scales[:, place]
            values[:, column] = _values(work[:, column], scale, held)
            error = (work[:, column] - values[:, column] * scale) / factors[column, column]
            rest = slice(column + 1, part.stop)
            work[:, rest] -= error[:, None] * factors[column, rest]
            errors[:, column - part.start] = error
        work[:, part.stop :] -= errors @ factors[part, part.stop :]
    damped = _damped(moment).astype(np.float32)
    grid = _Grid.of(scales, alike)
    scales = grid.near(scales)
    for _ in range(PASSES):
        values = _descended(weight, values, scales, damped, held)
        scales = _refitted(weight, values, scales, damped, grid)
    return _made(values, scales, grid, held)


def _blocks(columns: int, group: int) -> list[slice]:
    """Some whole groups, or a part of one: BLOCK columns at most."""
    if group <= BLOCK:
        size = BLOCK // group * group
        return [slice(start, min(start + size, columns)) for start in range(0, columns, size)]
    return [
        slice(start, min(start + BLOCK, first + group))
        for first in range(0, columns, group)
        for start in range(first, first + group, BLOCK)
    ]


def _refitted(
    weight: Floats, values: Floats, scales: Floats, damped: Floats, grid: _Grid
) -> Floats:
    """Each group's scale in turn, by least squares for its numbers as they are."""
    group = values.shape[1] // scales.shape[1]
    made = scales.copy()
    away = values * np.repeat(scales, group, 1) - weight
    for place in range(scales.shape[1]):
        part = slice(place * group, (place + 1) * group)
        numbers = values[:, part]
        slope = ((away @ damped[:, part]) * numbers).sum(1)
        curve = ((numbers @ damped[part, part]) * numbers).sum(1)
        # Where all numbers are zero, any scale is as good.
        moved = np.where(curve > 0, slope / np.maximum(curve, 1e-30), 0)
        found = grid.near((made[:, place] - moved)[:, None])[:, 0]
        away[:, part] += (found - made[:, place])[:, None] * numbers
        made[:, place] = found
    return made


def _descended(
    weight: Floats, values: Floats, scales: Floats, damped: Floats, held: Levels
) -> Floats:
    """Each number in turn, as is best beside all others (coordinate descent: QuantEase, 2023)."""
    group = values.shape[1] // scales.shape[1]
    made = values.copy()
    away = values * np.repeat(scales, group, 1) - weight
    for part in _blocks(values.shape[1], group):
        slopes = away @ damped[:, part]
        for column in range(part.start, part.stop):
            scale = scales[:, column // group]
            here = slopes[:, column - part.start] / damped[column, column]
            found = _values(made[:, column] * scale - here, scale, held)
            moved = (found - made[:, column]) * scale
            slopes += moved[:, None] * damped[column, part]
            away[:, column] += moved
            made[:, column] = found
    return made


def corrected(weight: Floats, moment: NDArray[Any], cross: NDArray[Any]) -> Floats:
    """The weight [rows, columns] that is best where inputs are not what they were.

    It had inputs x and gets x̃: the least ‖W x − W* x̃‖² + λ‖W − W*‖², with the damping λ, is at
    W* = W (x x̃ᵀ + λ) (x̃ x̃ᵀ + λ)⁻¹, and what rounding to numbers costs beyond it is
    ‖(W* − Ŵ) x̃‖², as ever. ``moment`` is x̃ x̃ᵀ, ``cross`` is x x̃ᵀ, both [columns, columns].
    """
    own = _damped(moment)
    share = own - moment  # λ on the diagonal
    made = np.linalg.solve(own, ((cross + share).T @ weight.T.astype(np.float64))).T
    return np.asarray(made, np.float32)


def _damped(moment: NDArray[Any]) -> NDArray[np.float64]:
    whole = moment.astype(np.float64)
    return whole + max(DAMPING * float(np.diagonal(whole).mean()), 1e-12) * np.eye(len(whole))


def inverse_factors(moment: NDArray[Any]) -> Floats:
    """U, upper triangular, with H⁻¹ = Uᵀ U for the damped moment H [columns, columns]."""
    lower = np.linalg.cholesky(np.linalg.inv(_damped(moment)))
    made: Floats = np.ascontiguousarray(lower.T).astype(np.float32)
    return made
