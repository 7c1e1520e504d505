"""A classifier in an encoding: what is coded, what stays in floats, and what is not stored at all.

V classes, d features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from hcompress.heads.encodings.fit import made_good
from hcompress.onnx_writer.merged import Merged
from hcompress.onnx_writer.packed import Halves, Packed, Spread, Stack
from hcompress.onnx_writer.whole_numbers import Bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Fit = Callable[[Floats, "Evidence"], Packed]


BYTE: Final = 127
"""The greatest number of a byte, up or down."""
AT_ONCE: Final = 256
"""Frames whose scores of all classes are held at once."""
MOST_HALF: Final = float(np.finfo(np.float16).max)
COARSEST: Final = 0.5
"""A bias is rounded to no more than this share of what its weights' rounding moves scores by: that
adds a fiftieth to the square of it."""


@dataclass(frozen=True)
class Teacher:
    """A classifier as it came, and what is known of its classes."""

    weight: Floats
    """[V, d]."""
    bias: Floats
    """[V]."""
    special: tuple[int, ...]
    """Classes that stay in floats: the blank, which most frames answer."""
    dead: NDArray[np.intp]
    """Classes that are never answered: one column stands for all of them."""

    @property
    def coded(self) -> NDArray[np.intp]:
        """The classes that an encoding stores, ascending."""
        out = np.union1d(self.dead, np.array(self.special, np.intp))
        return np.setdiff1d(np.arange(len(self.bias)), out)


@dataclass(frozen=True)
class Evidence:
    """What is known of the decision features, over frames that are no blank."""

    mean: Floats
    """[d]."""
    moment: NDArray[np.float64]
    """[d, d], about the mean: an error that is the same in every frame is the bias's to mend."""
    shares: NDArray[np.float64]
    """[V]: of all frames' answers together, what each class has."""

    @classmethod
    def of(cls, features: Floats, teacher: Teacher) -> Evidence:
        """From features [M, d]. At least one frame."""
        mean = features.mean(0, dtype=np.float64)
        apart = features - mean
        shares = np.zeros(len(teacher.bias))
        for start in range(0, len(features), AT_ONCE):
            scores = features[start : start + AT_ONCE] @ teacher.weight.T + teacher.bias
            chances = np.exp(scores - scores.max(1, keepdims=True))
            shares += (chances / chances.sum(1, keepdims=True)).sum(0, dtype=np.float64)
        return cls(mean.astype(np.float32), apart.T @ apart / len(features), shares)

    def among(self, classes: NDArray[np.intp]) -> Evidence:
        """What is known of some classes alone."""
        return replace(self, shares=self.shares[classes])


@dataclass(frozen=True)
class Encoded:
    """A classifier as it is stored."""

    weight: Packed
    """[V, d]."""
    bias: Packed
    """[V]; [1, V] of a spread one."""

    def floats(self) -> tuple[Floats, Floats]:
        """Weights [V, d] and biases [V] as a graph decodes them."""
        return self.weight.floats(), self.bias.floats().reshape(-1)

    @property
    def bytes(self) -> int:
        """Of its tensors."""
        return self.weight.bytes + self.bias.bytes


def encoded(teacher: Teacher, evidence: Evidence, fit: Fit) -> Encoded:
    """The coded classes by ``fit``, the special ones in FP16, the dead ones as one.

    Biases are made right at the mean of the features.
    """
    coded = teacher.coded
    packed = fit(teacher.weight[coded], evidence.among(coded))
    bias = teacher.bias.copy()
    bias[coded] = made_good(bias[coded], teacher.weight[coded], packed, evidence.mean)
    return assembled(teacher, packed, bias, moved(teacher, packed, evidence))


def moved(teacher: Teacher, packed: Packed, evidence: Evidence) -> NDArray[np.float64]:
    """What the rows [coded, d] move scores by, root mean square, apart from their means: [coded],
    the same for all that are stored alike."""
    off = teacher.weight[teacher.coded] - packed.floats()
    squares = np.einsum("ij,ij->i", off @ evidence.moment, off)
    kinds = _kinds(packed, len(squares))
    means = np.bincount(kinds, squares) / np.maximum(np.bincount(kinds), 1)
    return np.sqrt(means)[kinds]


def _kinds(packed: Packed, rows: int) -> NDArray[np.intp]:
    """[rows]: those with the same number are stored alike."""
    kinds = np.zeros(rows, np.intp)
    if isinstance(packed, Merged):
        kinds[~packed.mask] = 1 + _kinds(packed.others, int((~packed.mask).sum()))
    return kinds


def assembled(
    teacher: Teacher, packed: Packed, bias: Floats, error: NDArray[np.float64]
) -> Encoded:
    """Rows [coded, d] and biases [V] put where they belong.

    ``error`` [coded]: what the rows move scores by; biases need be no finer.
    """
    live = np.ones(len(bias), bool)
    live[teacher.dead] = False
    there = np.flatnonzero(live)
    segments = _segments(there, frozenset(teacher.special))
    rows: list[Packed] = []
    if len(teacher.dead):
        rows.append(_halves(_one_for(teacher)[None]))
    start = 0
    for special, places in segments:
        if special:
            rows.append(_halves(teacher.weight[places]))
        else:
            rows.append(packed.cut(start, start + len(places)))
            start += len(places)
    stacked: Packed = rows[0] if len(rows) == 1 else Stack(tuple(_joined(rows)))
    heights = bias[there]
    runs = [(special, len(places)) for special, places in segments]
    if not len(teacher.dead):
        return Encoded(stacked, _biases(heights, runs, error))
    heights = np.concatenate([[_dead_bias(teacher)], heights])
    return Encoded(Spread(stacked, live), Spread(_biases(heights, [(True, 1), *runs], error), live))


def _biases(values: Floats, runs: Sequence[tuple[bool, int]], error: NDArray[np.float64]) -> Packed:
    """Biases [n] upright, [n, 1]: bytes of one unit for those of the coded ones of ``runs``
    (special, length) for which that is fine enough beside the error of scores [coded]."""
    special = np.repeat([kind for kind, _ in runs], [length for _, length in runs])
    step = float(np.abs(values[~special]).max(initial=0)) / BYTE
    unit = np.float16(min(step, MOST_HALF))
    fine = np.zeros(len(values), np.bool_)
    fine[~special] = (step <= COARSEST * error) & (unit > 0)
    if not fine.any():
        return _halves(values[:, None])
    parts: list[Packed] = []
    start = 0
    for _, length in runs:
        run = slice(start, start + length)
        start += length
        parts.append(_heights(values[run], fine[run], unit))
    return parts[0] if len(parts) == 1 else Stack(tuple(_joined(parts)))


def _heights(values: Floats, fine: NDArray[np.bool_], unit: np.float16) -> Packed:
    """Biases [n] upright, bytes where ``fine``, else FP16."""
    if not fine.any():
        return _halves(values[:, None])
    numbers = np.clip(np.rint(values[fine] / np.float32(unit)), -BYTE, BYTE).astype(np.int8)
    if fine.all():
        return Bytes(numbers, unit)
    return Merged(_halves(values[~fine][:, None]), Bytes(numbers, unit), ~fine)


def _halves(values: Floats) -> Halves:
    """In FP16; what that does not reach, such as a bias of -1e9, as far as it goes."""
    return Halves(np.clip(values, -MOST_HALF, MOST_HALF).astype(np.float16))


def _one_for(teacher: Teacher) -> Floats:
    return np.asarray(teacher.weight[teacher.dead].mean(0), np.float32)


def _dead_bias(teacher: Teacher) -> float:
    return float(teacher.bias[teacher.dead].mean())


def _segments(
    there: NDArray[np.intp], special: frozenset[int]
) -> list[tuple[bool, NDArray[np.intp]]]:
    """Runs of special and of coded classes, in the classes' order."""
    kinds = np.array([int(i) in special for i in there])
    cuts = np.flatnonzero(np.diff(kinds)) + 1
    return [
        (bool(kinds[piece[0]]), there[piece]) for piece in np.split(np.arange(len(there)), cuts)
    ]


def _joined(rows: Sequence[Packed]) -> list[Packed]:
    """Neighbours in floats as one matrix."""
    made: list[Packed] = []
    for row in rows:
        if made and isinstance(row, Halves) and isinstance(made[-1], Halves):
            made[-1] = Halves(np.concatenate([made[-1].values, row.values]))
        else:
            made.append(row)
    return made
