"""What a graph does with images, found out by running it: declared shapes are often false."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from onnx import ModelProto, TensorProto

from hcompress.compute.session import Session
from hcompress.errors import InputRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEIGHTS: Final = (48, 32, 64)
"""What line recognisers take, tried in turn where a graph does not say."""
NARROW: Final = 320
WIDE: Final = 640


@dataclass(frozen=True)
class Measured:
    """What came out of a graph, and for what."""

    input: str
    channels: int
    height: int
    width: int | None
    """The one width that it takes; None: any."""
    single: bool
    """It takes one image at a time."""
    shape: tuple[int, ...]
    """The first output's for one image of `NARROW` pixels, or of its one width."""
    grows: tuple[int, ...]
    """The output's axes that grow with the width."""
    frames: int
    """Of those of an image `NARROW` wide."""
    step: float | None
    """Pixels a frame; None if it takes one width."""
    outputs: int


def measure(proto: ModelProto, session: Session, where: str) -> Measured:
    """Run the graph at two widths, and on two images.

    Raises InputRefused if it takes no images, or none that we know how to give it.
    """
    name, dims = _input(proto, where)
    channels = dims[1] or _channels(proto, name) or 3
    width = dims[3]
    for height in (dims[2],) if dims[2] else HEIGHTS:
        first = _shape(session, name, (1, channels, height, width or NARROW))
        if first is not None:
            break
    else:
        raise InputRefused(f"{where}: runs at none of the heights {', '.join(map(str, HEIGHTS))}")
    second = None if width else _shape(session, name, (1, channels, height, WIDE))
    grows = tuple(
        axis
        for axis, (one, two) in enumerate(zip(first, second or first, strict=False))
        if two > one
    )
    pair = None
    if dims[0] in (None, 2):
        pair = _shape(session, name, (2, channels, height, width or NARROW))
    frames = first[grows[0]] if grows else 0
    step = None
    if second is not None and len(grows) == 1:
        step = (WIDE - NARROW) / (second[grows[0]] - frames)
    return Measured(
        name, channels, height, width, pair is None, first, grows, frames, step,
        len(proto.graph.output),
    )  # fmt: skip


def _input(proto: ModelProto, where: str) -> tuple[str, list[int | None]]:
    """The one input's name and its N, C, H, W as far as they are fixed."""
    inputs = list(proto.graph.input)
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs)
        raise InputRefused(f"{where}: takes {len(inputs)} inputs ({names}): no line recogniser")
    kind = inputs[0].type.tensor_type
    if kind.elem_type != TensorProto.FLOAT or len(kind.shape.dim) != 4:
        raise InputRefused(f"{where}: its input is no float image [N, C, height, width]")
    return inputs[0].name, [one.dim_value if one.dim_value > 0 else None for one in kind.shape.dim]


def _channels(proto: ModelProto, name: str) -> int | None:
    """What the first convolution takes."""
    held = {one.name: one for one in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "Conv" and node.input[0] == name and node.input[1] in held:
            return int(held[node.input[1]].dims[1])
    return None


def _shape(session: Session, name: str, size: Sequence[int]) -> tuple[int, ...] | None:
    """Of the first output; None if the graph does not take such an image."""
    try:
        return _run(session, name, _noise(size)).shape
    except InputRefused:
        return None


def _noise(size: Sequence[int]) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=tuple(size)).astype(np.float32)


def _run(session: Session, name: str, images: NDArray[np.float32]) -> NDArray[np.generic]:
    return session.run([next(iter(session.outputs))], {name: images})[0]


def flat_images(measured: Measured, values: Sequence[float]) -> Iterator[NDArray[np.float32]]:
    """An image [1, C, height, width] of one value, for each value."""
    size = (1, measured.channels, measured.height, measured.width or NARROW)
    for value in values:
        yield np.full(size, value, np.float32)
