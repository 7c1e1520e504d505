"""Rows of two matrices in one another's midst: classes that are stored in more bits, and others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from hcompress.onnx_writer.decoders import Body, Store
from hcompress.onnx_writer.packed import Packed, inner

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Merged(Packed):
    """The rows of one matrix where a mask says so, those of another everywhere else, in order."""

    chosen: Packed
    others: Packed
    mask: NDArray[np.bool_]
    """[rows]: those of `chosen`. Some are, and some are not."""

    def floats(self) -> Floats:
        chosen, others = self.chosen.floats(), self.others.floats()
        made = np.empty((len(self.mask), chosen.shape[1]), np.float32)
        made[self.mask], made[~self.mask] = chosen, others
        return made

    def take(self, rows: Rows) -> Packed:
        mask = np.asarray(self.mask[rows], np.bool_)
        of_chosen, of_others = np.cumsum(self.mask) - 1, np.cumsum(~self.mask) - 1
        if mask.all():
            return self.chosen.take(of_chosen[rows])
        if not mask.any():
            return self.others.take(of_others[rows])
        chosen, others = of_chosen[rows[mask]], of_others[rows[~mask]]
        return Merged(self.chosen.take(chosen), self.others.take(others), mask)

    def emit(self, store: Store) -> str:
        chosen, others = inner(store, "chosen", self.chosen), inner(store, "others", self.others)
        mask = store.tensor("mask", np.packbits(self.mask, bitorder="little"))
        count = store.tensor("classes", np.array([len(self.mask)], np.int64))
        return store.call("Merged", (chosen, others, mask, count), _merged())


def _merged() -> Body:
    body = Body("chosen", "others", "mask", "count")
    mask = body.numbers([("mask", 1)], "count")
    one = body.constant((1,), np.int32)
    rest = body.op("Sub", one, mask)
    rows = body.op("Slice", body.op("Shape", "chosen"), body.constant((0,)), body.constant((1,)))
    first = body.op("Cast", rows, to=TensorProto.INT32)
    here = body.op("Mul", mask, body.op("CumSum", mask, body.constant(0)))
    behind = body.op("Add", body.op("CumSum", rest, body.constant(0)), first)
    there = body.op("Mul", rest, behind)
    places = body.op("Sub", body.op("Add", here, there), one)
    both = body.op("Concat", "chosen", "others", axis=0)
    return body.give(body.op("Gather", both, places, axis=0))


MERGED_DECODERS: Mapping[str, Callable[[], Body]] = {"Merged": _merged}
"""The function that is written here, by its name."""
