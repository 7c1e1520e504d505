"""The codes of a `signs` encoding, met by signs: what the paper's classifier makes of them.

The query's signs and a code give a distance, and nothing else is known (Hamming OCR's classifier);
or the few nearest are looked at again by the query itself. Neither takes fewer bytes than the
real-valued query, so both are set beside it and not offered. V classes, d features, K bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hcompress.onnx_writer.packed import LowRank, Packed, Signs, Spread, Stack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.heads.encodings.encode import Encoded, Evidence, Teacher

    Floats = NDArray[np.float32]

LOOKS: Final = 5
"""The nearest codes that are looked at again, as in our own classifier."""


@dataclass(frozen=True)
class ByDistance:
    """One way to meet codes."""

    name: str
    weight: Floats
    """[V, d], as the encoding decodes it; what scores classes that have no code."""
    bias: Floats
    """[V]."""
    coded: NDArray[np.intp]
    """Classes with a code."""
    signs: Floats
    """[coded, K], -1 and +1."""
    query: Floats
    """[d, K]."""
    unit: float
    """What a bit that agrees is worth: the mean size of the query."""
    looks: int
    """How many of the nearest are scored by the query itself."""

    def scores(self, features: Floats) -> Floats:
        """[M, d] -> [M, V]."""
        whole = np.asarray(features @ self.weight.T + self.bias, np.float32)
        bits = np.where(features @ self.query >= 0, 1, -1).astype(np.float32)
        near = np.asarray(bits @ self.signs.T * self.unit + self.bias[self.coded], np.float32)
        if self.looks < near.shape[1]:
            if self.looks:
                far = np.argpartition(-near, self.looks - 1, 1)[:, self.looks :]
                near = whole[:, self.coded]
                np.put_along_axis(near, far, -np.inf, 1)
            whole[:, self.coded] = near
        return whole


def by_distance(
    made: Encoded, teacher: Teacher, evidence: Evidence, called: str = "codes"
) -> tuple[ByDistance, ...]:
    """The codes by distance alone, and with a second look; none if the encoding has no codes."""
    found = _codes(made.weight)
    if found is None:
        return ()
    signs, query = found
    unit = unit_of(query, evidence)
    weight, bias = made.floats()
    length = signs.shape[1]
    return tuple(
        ByDistance(name, weight, bias, teacher.coded, signs, query, unit, looks)
        for name, looks in ((f"{called}-{length}", 0), (f"{called}-{length}+{LOOKS}", LOOKS))
    )


def unit_of(query: Floats, evidence: Evidence) -> float:
    """What a bit that agrees is worth: the mean size of what [d, K] makes of the features."""
    mean = evidence.mean.astype(np.float64)
    moment = evidence.moment + np.outer(mean, mean)
    power = np.einsum("dk,de,ek->k", query, moment, query)
    # Of a normal query; what a sign is off by on the average is then least.
    return float(np.sqrt(2 / np.pi * np.maximum(power, 0)).mean())


def _codes(weight: Packed) -> tuple[Floats, Floats] | None:
    """Codes of the coded classes and the query, wherever they lie in what is stored."""
    rows = weight.rows if isinstance(weight, Spread) else weight
    parts = rows.parts if isinstance(rows, Stack) else (rows,)
    coded = [one for one in parts if isinstance(one, LowRank) and isinstance(one.left, Signs)]
    if not coded:
        return None
    signs = np.concatenate([one.left.floats() for one in coded])
    return signs, coded[0].right.floats()
