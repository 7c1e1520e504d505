"""What a plan's bytes are: its layout is the vendor's, but the weights in it can be found.

Each tensor of the ONNX graph is looked for in the plan, as it is stored, in the other float
type, and in the orders a builder may have put its elements in. What is found nowhere, having
been folded into another, is part of the container, as the kernels are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from hcompress.formats.layout import Layout, Piece

SMALLEST = 256
"""Bytes; shorter runs are found by chance."""


def locate_weights(plan: bytes, model: onnx.ModelProto, layout: Layout) -> Layout:
    """``layout``, an empty one of the plan's file, with the pieces that were found."""
    pieces: list[Piece] = []
    taken: set[int] = set()
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.nbytes < SMALLEST or bool((array == array.flat[0]).all()):
            continue
        name = tensor.name.removesuffix(".int8")
        for data in _spellings(array):
            offset = plan.find(data)
            if offset >= 0 and offset not in taken:
                taken.add(offset)
                pieces.append(Piece(name, int(array.size), len(data), layout.path, offset))
                break
    return Layout(layout.path, layout.bytes, tuple(_apart(pieces)), layout.metadata)


def _spellings(array: NDArray[np.generic]) -> Iterator[bytes]:
    """The bytes a builder may have made of a tensor, the likeliest first."""
    kinds: tuple[type[np.generic], ...] = (array.dtype.type,)
    if array.dtype == np.float16:
        kinds = (np.float16, np.float32)
    elif array.dtype == np.float32:
        kinds = (np.float32, np.float16)
    seen: set[bytes] = set()
    with np.errstate(over="ignore"):
        for kind in kinds:
            for order in permutations(range(array.ndim)):
                data = np.ascontiguousarray(array.transpose(order).astype(kind)).tobytes()
                if data not in seen:
                    seen.add(data)
                    yield data


def _apart(pieces: list[Piece]) -> Iterator[Piece]:
    """In order of place, without those that overlap one before."""
    end = 0
    for piece in sorted(pieces, key=lambda piece: piece.offset):
        if piece.offset >= end:
            end = piece.offset + piece.bytes
            yield piece
