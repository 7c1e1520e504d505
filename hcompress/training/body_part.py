"""The end of a body, which learns while what lies in front of it stays: lines are values there.

N lines, T frames, d features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor

from hcompress.foreign.features import Features, frames_first
from hcompress.recognisers.opaque.body import OpaqueBody

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.foreign.blocks import Halves
    from hcompress.foreign.model import ForeignModel

    Floats = NDArray[np.float32]

MOST_AT_ONCE: Final = 1 << 23
"""Numbers of a batch's values: of wide lines fewer come together."""


@dataclass(frozen=True)
class Part:
    """The end of a body, in torch."""

    run: OpaqueBody
    """From the values where it was cut to the features, in the graph's layout."""
    weights: tuple[str, ...]
    """Those of its initialisers that learn."""
    as_frames: Callable[[Tensor, int], Tensor]
    """That layout, and N, as [N, T, d]."""
    single: bool
    """It takes one line at a time."""

    def features(self, values: Tensor, weights: Mapping[str, Tensor] | None = None) -> Tensor:
        """[N, ...] -> [N, T, d]."""
        parts = torch.split(values, 1) if self.single else (values,)
        return torch.cat([self.as_frames(self.run(one, weights), len(one)) for one in parts])


def part_of(halves: Halves, model: ForeignModel, threads: int) -> Part:
    """The end of a body that was cut. Raises InputRefused if torch is not told how to run it."""
    features = Features(model, threads)

    def as_frames(made: Tensor, lines: int) -> Tensor:
        found: Tensor = frames_first(made, lines, features.rows_last, features.time_first)
        return found

    body = OpaqueBody(halves.behind, model.classifier.features)
    return Part(body, halves.weights, as_frames, model.spec.image.single)


def together(lines: Sequence[tuple[int, ...]], most: int) -> list[list[int]]:
    """Places of lines whose values have one shape, no more than so many together."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for place, shape in enumerate(lines):
        shapes.setdefault(shape, []).append(place)
    made = []
    for shape, places in shapes.items():
        count = max(1, min(most, MOST_AT_ONCE // max(1, math.prod(shape))))
        made += [places[start : start + count] for start in range(0, len(places), count)]
    return made


@torch.no_grad()
def features_of(
    part: Part, values: Sequence[Floats], most: int, weights: Mapping[str, Tensor] | None = None
) -> list[Floats]:
    """[T, d] of each line."""
    found: dict[int, Floats] = {}
    for places in together([one.shape for one in values], most):
        made = part.features(torch.from_numpy(np.stack([values[at] for at in places])), weights)
        found.update(zip(places, made.numpy(), strict=True))
    return [found[place] for place in range(len(values))]
