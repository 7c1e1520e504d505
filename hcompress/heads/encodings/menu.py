"""The encodings by name, and which are worth trying for a classifier of some width."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hcompress.compute.rounding import group_size
from hcompress.errors import UsageError
from hcompress.heads.encodings.by_use import LEVELS, fit_by_use
from hcompress.heads.encodings.fit import (
    ENTRIES,
    fit_halves,
    fit_ints,
    fit_low_rank,
    fit_products,
    fit_signs,
)
from hcompress.heads.encodings.rotated import BITS, GROUP, MOST_AXES, fit_rotated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hcompress.heads.encodings.encode import Evidence, Fit
    from hcompress.onnx_writer.packed import Packed

DESCRIPTIONS: Final = {
    "fp16": "floats of 16 bits",
    "int8": "whole numbers of 8 bits, a scale a class",
    "int6": "of 6 bits",
    "int5": "of 5 bits",
    "int4": "of 4 bits",
    "int3": "of 3 bits",
    "by-use-B": "whole numbers of 2 to 8 bits, B on the average: more for classes answered more",
    "products-N": "product quantisation, N bytes a class; N divides the features",
    "rotated-N": "product quantisation along principal axes, N bytes a class",
    "low-rank-N": "a product of two, N numbers of 8 bits a class",
    "signs-N": "Hamming codes of N bits a class, met by a real-valued query",
    "learnt-N": "the same with codes that were learnt (EMU): takes steps; N is a multiple of 8",
}
"""What can be asked for."""
_NUMBERED: Final = re.compile(r"(products|rotated|low-rank|signs|learnt)-([1-9][0-9]{0,4})")
_BY_USE: Final = re.compile(r"by-use-([2-7](?:\.[0-9])?|8)")
_INTS: Final = re.compile(r"int([345678])")
LEARNT: Final = "learnt"
MOST_SIGNS: Final = 8
"""Bits a feature: from there whole numbers of 8 bits keep more, and take less."""
EXACT: Final = ("fp16", "int8")
"""What moves scores by less than a byte's step of a bias would."""
WIDTHS: Final = (2, 3, 4, 5, 6, 8, 12, 16)
"""Features to a part of a product quantisation."""
BY_USE: Final = ("5.0", "4.5", "4.0", "3.5", "3.0", "2.5")
"""Mean bits of whole numbers by use."""
ROTATED: Final = (3, 4, 6, 8, 12, 16)
"""Features for a byte of a rotated one."""


@dataclass(frozen=True)
class Encoding:
    """One way to store a classifier."""

    name: str
    fit: Fit

    @property
    def kind(self) -> str:
        """Its name without its number: those of a kind differ in their size."""
        return self.name.rstrip("0123456789.")

    @property
    def learnt_bits(self) -> int | None:
        """K, if its codes come of training and of nothing else."""
        kind, _, number = self.name.rpartition("-")
        return int(number) if kind == LEARNT else None


def encoding(name: str, width: int, seed: int = 0) -> Encoding:
    """The encoding of that name for ``width`` features. Raises UsageError if there is none."""
    fit = _fit(name, width, seed)
    if fit is None:
        raise UsageError(f"encoding {name!r}: one of {', '.join(DESCRIPTIONS)}")
    return Encoding(name, fit)


def _fit(name: str, width: int, seed: int) -> Fit | None:
    if name == "fp16":
        return lambda weight, _: fit_halves(weight)
    found = _INTS.fullmatch(name)
    if found:
        bits = int(found[1])
        return lambda weight, known: fit_ints(weight, known.moment, bits)
    by_use = _BY_USE.fullmatch(name)
    if by_use:
        mean = float(by_use[1])
        return lambda weight, known: fit_by_use(weight, known.moment, known.shares, mean)
    numbered = _NUMBERED.fullmatch(name)
    return None if numbered is None else _numbered(numbered[1], int(numbered[2]), width, seed)


def _numbered(kind: str, count: int, width: int, seed: int) -> Fit:
    if kind == "products":
        if width % count:
            divisors = ", ".join(str(n) for n in range(1, width + 1) if width % n == 0)
            raise UsageError(f"products-{count}: N divides {width} features: one of {divisors}")
        return lambda weight, known: fit_products(weight, known.moment, count, seed)
    if kind == "rotated":
        if count > width:
            raise UsageError(f"rotated-{count}: N is at most the {width} features")
        return lambda weight, known: fit_rotated(weight, known.moment, count, seed)
    if kind == "low-rank":
        if count >= width:
            raise UsageError(f"low-rank-{count}: N is below the {width} features")
        return lambda weight, known: fit_low_rank(weight, known.moment, count, 8)
    if count > MOST_SIGNS * width:
        raise UsageError(f"{kind}-{count}: N is at most {MOST_SIGNS} times the {width} features")
    if kind == LEARNT:
        if count % 8:
            raise UsageError(f"learnt-{count}: N must be a multiple of 8")
        return _unlearnt
    return lambda weight, known: fit_signs(weight, known.moment, count, seed)


def _unlearnt(weight: NDArray[np.float32], known: Evidence) -> Packed:  # noqa: ARG001
    raise UsageError("codes are learnt in steps: set steps above 0, or take signs-N")


def stored_bytes(name: str, classes: int, width: int) -> int:
    """About what a classifier of ``classes`` classes takes in the encoding of that name.

    A bias takes a byte, or two where the rows are exact: which of them shows when it is fitted, and
    likewise whether scales of whole rows take one. Raises UsageError as `encoding`.
    """
    encoding(name, width)
    biases = (2 if name in EXACT else 1) * classes
    if name == "fp16":
        return 2 * classes * width + biases
    found = _INTS.fullmatch(name)
    if found:
        return classes * width * int(found[1]) // 8 + classes + biases
    by_use = _BY_USE.fullmatch(name)
    if by_use:
        masks = (len(LEVELS) - 1) * classes // 8
        return int(classes * width * float(by_use[1]) / 8) + classes + masks + biases
    numbered = _NUMBERED.fullmatch(name)
    assert numbered is not None
    kind, count = numbered[1], int(numbered[2])
    if kind == "products":
        return classes * count + 2 * min(ENTRIES, classes) * width + biases
    if kind == "rotated":
        axes = count * min(MOST_AXES, width // count)
        turn = axes * (width * BITS // 8 + width // group_size(width, GROUP) + 2)
        return classes * count + 2 * min(ENTRIES, classes) * axes + turn + biases
    a_class = count + 1 if kind == "low-rank" else -(-count // 8)
    return classes * a_class + 2 * count * width + biases


def signs_lengths(width: int) -> list[int]:
    """Bits of codes that are worth trying."""
    return [8 * (width * share // 32) for share in (12, 8, 4) if width * share >= 32]


def menu(width: int, seed: int = 0) -> Iterator[Encoding]:
    """What is worth trying, for ``width`` features: from what keeps most to what is smallest."""
    names = ["fp16", "int8", "int6", "int5", "int4", "int3"]
    names += [f"by-use-{bits}" for bits in BY_USE]
    names += [f"products-{width // part}" for part in WIDTHS if width % part == 0]
    names += [f"rotated-{width // part}" for part in ROTATED if width >= part]
    names += [f"low-rank-{width * share // 8}" for share in (6, 4, 2) if width * share >= 8]
    names += [f"signs-{length}" for length in signs_lengths(width)]
    for name in dict.fromkeys(names):
        yield encoding(name, width, seed)
