"""What a foreign body's weights will take in few bits, by their shapes. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from hcompress.compress.body_options import FEWEST, SMALL
from hcompress.compute.rounding import group_size


def body_bytes(shapes: Iterable[Sequence[int]], bits: float, group: int) -> int:
    """Of float weights of those shapes, if `quantise_body` stores them in ``bits`` bits or, if
    these are no whole number, in that mean."""
    return round(sum(_stored(tuple(shape), bits, group) for shape in shapes))


def _stored(shape: tuple[int, ...], bits: float, group: int) -> float:
    count = prod(shape)
    if len(shape) < 2 or count == max(shape):  # a vector: FP16, if that saves something
        return 2 * count if count >= FEWEST else 4 * count
    columns = shape[0] if len(shape) == 2 else count // shape[0]  # as MatMul and Conv have them
    size = group_size(columns, group)
    depthwise = len(shape) > 2 and shape[1] == 1
    if depthwise or count < SMALL or size > 2 * group:
        return count + 2 * count / columns
    scales = 2 * count / columns + (count / size if size < columns else 0)
    return count * bits / 8 + scales
