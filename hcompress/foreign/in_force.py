"""How a file made of a foreign recogniser holds its weights, told by its tensors alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from hcompress.sizes.groups import BACKBONE, CLASSIFIER

if TYPE_CHECKING:
    from hcompress.formats.layout import Piece

_PLANE: Final = re.compile(r"(.+)\.(?:plane([124])|(int8))")
"""A weight in whole numbers: a plane of its digits, or all eight of their bits."""


def techniques(pieces: Iterable[Piece], groups: Mapping[str, str]) -> tuple[str, ...]:
    """The head's encoding and the body's bits, as tables name them; nothing of plain floats."""
    there = list(pieces)
    head = encoding_of([piece for piece in there if groups.get(piece.name) == CLASSIFIER])
    bits = bits_of(piece for piece in there if groups.get(piece.name) == BACKBONE)
    return (
        *(() if head is None else (f"Encoded Head ({head})",)),
        *(() if bits is None else (f"Body in {bits} Bits",)),
    )


def encoding_of(pieces: Iterable[Piece]) -> str | None:
    """The name of a classifier's encoding, as `plan` has it; None if it is not packed."""
    there = [one for one in pieces if not _of_biases(one)]
    shapes = {piece.name.rpartition(".")[2]: piece.shape for piece in there}
    codes = shapes.get("codes", ())
    if len(codes) == 2:
        turned = any(".right." in piece.name for piece in there)
        return f"{'rotated' if turned else 'products'}-{codes[1]}"
    query = next((one.shape for one in there if one.name.endswith(".right.half")), ())
    if len(query) == 2:
        return f"{'signs' if 'signs' in shapes else 'low-rank'}-{query[1]}"
    numbers = _numbers(there)
    if numbers:
        bits = max(numbers, key=lambda bits: (numbers[bits], bits))
        by_use = any(".chosen." in piece.name for piece in there)
        return f"by-use-{_mean(numbers):.1f}" if by_use else f"int{bits}"
    return "fp16" if "half" in shapes else None


def _of_biases(piece: Piece) -> bool:
    """Bytes in one row, whatever the classes themselves are stored in."""
    return piece.name.endswith(".int8") and piece.shape[:1] == (1,)


def bits_of(pieces: Iterable[Piece]) -> int | None:
    """The bits that most numbers are stored in; None if none are whole numbers."""
    numbers = _numbers(pieces)
    return max(numbers, key=lambda bits: (numbers[bits], bits), default=None)


def _mean(numbers: Mapping[int, int]) -> float:
    return sum(bits * count for bits, count in numbers.items()) / sum(numbers.values())


def _numbers(pieces: Iterable[Piece]) -> Counter[int]:
    """How many whole numbers are stored in how many bits."""
    widths: Counter[str] = Counter()
    stored: Counter[str] = Counter()
    for piece in pieces:
        found = _PLANE.fullmatch(piece.name)
        if found is not None:
            widths[found[1]] += 8 if found[3] else int(found[2])
            stored[found[1]] += piece.bytes
    numbers: Counter[int] = Counter()
    for name, bits in widths.items():
        numbers[bits] += 8 * stored[name] // bits
    return numbers
