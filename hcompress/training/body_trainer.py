"""A body's weights in whole numbers, trained: rounded on the way in, learning all the same.

The network always sees weights that can be stored; gradients pass the rounding as if it were not
there (Bengio et al. 2013), and reach the scales as in LSQ (Esser et al. 2020).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hcompress.compute.rounding import SHARES
from hcompress.foreign.edit import Stored
from hcompress.onnx_writer.packed import Halves
from hcompress.onnx_writer.whole_numbers import Ints
from hcompress.training.loop import Loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.recognisers.opaque.body import OpaqueBody


LEAST: Final = 0.1
"""A scale shrinks to no less of what it was: at nothing there would be no way back."""


class Lines(NamedTuple):
    """A batch, and what the teacher makes of it."""

    images: Tensor
    """[N, C, H, W]."""
    features: Tensor
    """[N, T, d]."""


class Classes(NamedTuple):
    """A classifier as floats."""

    weight: Tensor
    """[V, d]."""
    bias: Tensor
    """[V]."""


class WholeNumbers(nn.Module):
    """A weight in numbers of its grid; what moves is where on the grid it lies."""

    scales: Tensor
    units: Tensor
    levels: Tensor

    def __init__(self, how: Stored) -> None:
        super().__init__()
        packed = how.packed
        assert isinstance(packed, Ints)
        steps = packed.steps
        rows, groups = steps.shape
        self.bits, self.how, self._packed = packed.bits, how, packed
        values = packed.values.reshape(rows, groups, -1).astype(np.float32)
        self.places = nn.Parameter(torch.from_numpy(values))
        self.register_buffer("scales", torch.from_numpy(steps))
        self.register_buffer("units", torch.from_numpy(packed.scales.astype(np.float32)))
        levels = () if packed.levels is None else packed.levels.astype(np.float32)
        self.register_buffer("levels", torch.tensor(levels))
        self.stretch = nn.Parameter(torch.zeros(rows, groups))
        """By what share a scale differs from the one it began with."""

    def forward(self) -> Tensor:
        """The weight as the graph takes it."""
        scale = self._scale()
        meant = self._meant(self._numbers())
        numbers = passed(meant, self._clamped(self.places))
        matrix = (numbers * scale[..., None]).flatten(1)
        return (matrix.T if self.how.turned else matrix).reshape(self.how.shape)

    def stored(self) -> Stored:
        """What is written."""
        with torch.no_grad():
            values = self._numbers().flatten(1).to(torch.int8).numpy()
            if self._packed.shares is None:
                made = replace(
                    self._packed, values=values, scales=self._scale().numpy().astype(np.float16)
                )
            else:
                shares = self._shares(self._whole()).to(torch.int8).numpy()
                made = replace(self._packed, values=values, shares=shares)
        return Stored(made, self.how.shape, self.how.turned)

    def _whole(self) -> Tensor:
        return self.scales * (1 + self.stretch).clamp(min=LEAST)

    def _scale(self) -> Tensor:
        """As it will be stored, [rows, groups]."""
        whole = self._whole()
        if self._packed.shares is None:
            return passed(whole.half().float(), whole)
        return passed(self._shares(whole) * self.units, whole)

    def _shares(self, whole: Tensor) -> Tensor:
        shares = (whole.detach() / self.units).round().clamp(-SHARES, SHARES)
        return torch.where(shares == 0, whole.detach().sign(), shares)

    def _numbers(self) -> Tensor:
        return self._clamped(self.places.detach()).round()

    def _meant(self, numbers: Tensor) -> Tensor:
        """The levels of numbers."""
        if self._packed.levels is None:
            return numbers
        return self.levels[numbers.long() + 2 ** (self.bits - 1)]

    def _clamped(self, places: Tensor) -> Tensor:
        half = 2 ** (self.bits - 1)
        return places.clamp(-half, half - 1)


class Vector(nn.Module):
    """Floats that are stored as FP16, and learn as float32."""

    def __init__(self, how: Stored) -> None:
        super().__init__()
        self.how = how
        start = how.floats()
        # A rate of one size for all: what is large moves as far, in its own measure, as others.
        self.unit = float(np.sqrt(np.mean(start**2))) or 1.0
        self.values = nn.Parameter(torch.from_numpy(start / self.unit))

    def forward(self) -> Tensor:
        whole = self.values * self.unit
        return passed(whole.half().float(), whole)

    def stored(self) -> Stored:
        with torch.no_grad():
            values = (self.values * self.unit).numpy().astype(np.float16)
        return Stored(Halves(values), self.how.shape)


def passed(value: Tensor, gradient: Tensor) -> Tensor:
    """``value``, with the gradient of the other."""
    return gradient + (value - gradient).detach()


class BodyTrainer(nn.Module):
    """The student, and how far it is from what the teacher makes of lines."""

    def __init__(
        self,
        body: OpaqueBody,
        stored: Mapping[str, Stored],
        teacher: Classes,
        student: Classes,
        as_frames: Callable[[Tensor, int], Tensor],
        *,
        single: bool = False,
    ) -> None:
        """``stored`` are the weights it begins with, by their names in the graph.

        ``as_frames`` lays the body's features out as [N, T, d], given N. A body that is
        ``single`` takes one image at a time: torch would let more through, and mix them.
        """
        super().__init__()
        self._body = body
        self._names = tuple(stored)
        self.weights: Sequence[WholeNumbers | Vector] = [
            WholeNumbers(how) if isinstance(how.packed, Ints) else Vector(how)
            for how in stored.values()
        ]
        self._kept = nn.ModuleList(self.weights)
        self.teacher, self.student = teacher, student
        self._as_frames = as_frames
        self._single = single

    def features(self, images: Tensor) -> Tensor:
        """[N, T, d] of the weights as they will be stored."""
        held = {name: weight() for name, weight in zip(self._names, self.weights, strict=True)}
        parts = torch.split(images, 1) if self._single else (images,)
        return torch.cat([self._as_frames(self._body(part, held), len(part)) for part in parts])

    @property
    def slower(self) -> tuple[str, ...]:
        """Names of the parameters that are no places on a grid."""
        names = [name for name, _ in self.named_parameters()]
        return tuple(name for name in names if not name.endswith(".places"))

    def stored(self) -> dict[str, Stored]:
        """What is written, by the weights' names."""
        pairs = zip(self._names, self.weights, strict=True)
        return {name: weight.stored() for name, weight in pairs}

    def forward(self, lines: Lines, feature_weight: float) -> Tensor:
        """A frame's mean distance: Kullback–Leibler of the answers, and that of the features."""
        made = self.features(lines.images).flatten(0, -2)
        wanted = lines.features.flatten(0, -2)
        soft = wanted @ self.teacher.weight.T + self.teacher.bias
        chosen = _worth_asking(soft.argmax(-1))
        mine = self.student
        answers = functional.log_softmax(made[chosen] @ mine.weight.T + mine.bias, -1)
        asked = functional.kl_div(
            answers, soft[chosen].log_softmax(-1), reduction="sum", log_target=True
        )
        apart = (made - wanted).square().sum(-1) / wanted.square().sum(-1).mean()
        return asked / len(chosen) + feature_weight * apart.mean()

    def loss(self, lines: Lines, feature_weight: float) -> Loss:
        frames = lines.features.shape[0] * lines.features.shape[1]
        return Loss(self(lines, feature_weight) * frames, frames)


def _worth_asking(ids: Tensor) -> Tensor:
    """Frames with an answer, their neighbours, and a fourth of the others, which are alike.

    The commonest answer is the blank's.
    """
    spoken = ids != ids.mode().values
    near = spoken.clone()
    near[1:] |= spoken[:-1]
    near[:-1] |= spoken[1:]
    near[::4] = True
    return near.nonzero()[:, 0]


def as_classes(weight: NDArray[np.float32], bias: NDArray[np.float32]) -> Classes:
    return Classes(torch.from_numpy(np.ascontiguousarray(weight)), torch.from_numpy(bias.copy()))
