"""Encoder–decoders of known frameworks, as configuration and tensors of ours.

No torch, and no pickle is run: every tensor of ours is made of one of theirs, by name.
V = characters, d = width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hcompress.errors import InputRefused
from hcompress.foreign.checkpoints.architecture import IGNORED
from hcompress.strict.files import quoted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hcompress.foreign.checkpoints.state import State
    from hcompress.foreign.options import Asked
    from hcompress.spec.config import TransformerConfig

    Floats = NDArray[np.float32]

_ATTENTION: Final = ("query", "key", "value")
_NORM: Final = ("weight", "bias", "running_mean", "running_var")
_BATCH_EPSILON: Final = 1e-5
_NEAR: Final = 1e-3
"""What sinusoids that are computed in float32 may be off by."""
_FLAT: Final = 1e-6
"""Of the largest gain: a feature whose gain is less does not vary."""


def _as_it_is(values: Floats) -> Floats:
    return values


@dataclass(frozen=True)
class Taken:
    """Whence a tensor of ours comes."""

    name: str
    """Theirs."""
    made: Callable[[Floats], Floats] = _as_it_is


Parts = Mapping[str, Taken]
"""By the names of our tensors."""


@dataclass(frozen=True)
class Mapped:
    """A recogniser of our family that reads as the checkpoint does."""

    config: TransformerConfig
    parts: Parts
    also: frozenset[str]
    """Their tensors of which nothing is taken: tables that are computed."""
    found: tuple[str, ...]
    """Lines for people."""


@dataclass(frozen=True)
class EncoderDecoder:
    """A framework's encoder–decoder, and how its checkpoint becomes one of ours."""

    name: str
    about: str
    """Whose it is and what it is made of, for people."""
    classifier: str
    """Its classifier's weight: what it is known by."""
    specials: int
    """Of that weight's rows, those that are no characters."""
    map: Callable[[State, Asked], Mapped]

    def characters(self, state: State) -> int:
        """V. Raises InputRefused if there is no such tensor."""
        return shape(state, self.classifier, 2)[0] - self.specials


def shape(state: State, name: str, rank: int) -> tuple[int, ...]:
    """A tensor's. Raises InputRefused if it is not there, empty or of another rank."""
    if name not in state.tensors:
        raise InputRefused(f"{state.where}: has no tensor {quoted(name)}")
    found = state.tensors[name].shape
    if len(found) != rank or 0 in found:
        raise InputRefused(f"{state.where}: tensor {quoted(name)} is {list(found)}")
    return found


def layers_of(state: State, before: str, after: str) -> int:
    """How many tensors BEFORE0AFTER, BEFORE1AFTER, ... there are."""
    count = 0
    while f"{before}{count}{after}" in state.tensors:
        count += 1
    return count


def check_names(state: State, who: str, mapped: Mapped) -> None:
    """Raises InputRefused unless it has all of those tensors and no others."""
    wanted = {part.name for part in mapped.parts.values()}
    named = {name for name in state.tensors if not name.endswith(IGNORED)} - mapped.also
    for name in sorted(wanted - named):
        raise InputRefused(f"{state.where}: no {who}: has no tensor {quoted(name)}")
    for name in sorted(named - wanted):
        raise InputRefused(f"{state.where}: no {who}: has {quoted(name)} too")


def check_sinusoid(state: State, name: str, width: int) -> int:
    """The length of a table of positions [1, length, d] that is computed here instead.

    Raises InputRefused if it holds something else.
    """
    length, features = shape(state, name, 3)[1:]
    values = state.floats(name)[0]
    rates = np.exp(np.arange(0, features, 2) * (-np.log(1e4) / features))
    angles = np.arange(length)[:, None] * rates
    right = np.empty((length, len(rates), 2), np.float64)
    right[:, :, 0], right[:, :, 1] = np.sin(angles), np.cos(angles)
    if features != width or not np.allclose(values, right.reshape(length, -1), atol=_NEAR):
        raise InputRefused(f"{state.where}: tensor {quoted(name)} holds no sinusoidal positions")
    return length


def linear(ours: str, theirs: str) -> dict[str, Taken]:
    """A linear layer's tensors, a convolution's, or a layer normalisation's."""
    return {f"{ours}.{part}": Taken(f"{theirs}.{part}") for part in ("weight", "bias")}


def conv_norm(ours: str, conv: str, norm: str) -> dict[str, Taken]:
    """A convolution without a bias, and the batch normalisation behind it."""
    weight = {f"{ours}.conv.weight": Taken(f"{conv}.weight")}
    return weight | {f"{ours}.norm.{part}": Taken(f"{norm}.{part}") for part in _NORM}


def joined_attention(ours: str, theirs: str, parts: Iterable[str] = _ATTENTION) -> dict[str, Taken]:
    """Linear layers of ours that one of theirs has below each other."""
    names = tuple(parts)
    return {
        f"{ours}.{name}.{part}": Taken(f"{theirs}.{part}", _share(place, len(names)))
        for place, name in enumerate(names)
        for part in ("weight", "bias")
    }


def _share(place: int, count: int) -> Callable[[Floats], Floats]:
    def share(values: Floats) -> Floats:
        each = len(values) // count
        return values[place * each : (place + 1) * each]

    return share


def rows(order: Iterable[int | None], scale: float = 1.0) -> Callable[[Floats], Floats]:
    """Rows in another order, times ``scale``; zeros for None."""
    places = list(order)

    def reordered(values: Floats) -> Floats:
        made = np.zeros((len(places), *values.shape[1:]), np.float32)
        for place, row in enumerate(places):
            if row is not None:
                made[place] = values[row] * np.float32(scale)
        return made

    return reordered


def affine(state: State, ours: str, norm: str) -> dict[str, Taken]:
    """A batch normalisation that stands alone, as a weight and a bias a channel."""
    for part in _NORM:
        shape(state, f"{norm}.{part}", 1)
    scale, mean, variance = (
        state.floats(f"{norm}.{part}").astype(np.float64)
        for part in ("weight", "running_mean", "running_var")
    )
    factor = scale / np.sqrt(variance + _BATCH_EPSILON)
    return {
        f"{ours}.weight": Taken(f"{norm}.weight", lambda _: factor.astype(np.float32)),
        f"{ours}.bias": Taken(f"{norm}.bias", lambda b: (b - mean * factor).astype(np.float32)),
    }


def without_bias(
    weight: Floats, bias: Floats, gain: Floats, shift: Floats
) -> tuple[Floats, Floats]:
    """A classifier [V, d] whose bias its weight takes in, and the normalisation's bias [d] for it.

    Behind a normalisation with these ``gain`` and ``shift`` features can't vary in one direction:
    what is normalised adds up to zero, so that u = 1 / gain sees the same in all of them. There
    ``shift`` is made to stand at a feature's usual size, and the classifier's columns reach for it.
    """
    large = weight.astype(np.float64)
    size = np.abs(gain.astype(np.float64))
    if size.min() > _FLAT * size.max():
        still = 1 / gain.astype(np.float64)
    else:
        still = (np.arange(len(gain)) == size.argmin()).astype(np.float64)
    still /= np.linalg.norm(still)
    level = float(np.sqrt(np.mean(size**2))) or 1.0
    moved = level - float(still @ shift)
    rest = bias.astype(np.float64) - moved * (large @ still)
    made = large + rest[:, None] * (still / level)
    return made.astype(np.float32), (shift + moved * still).astype(np.float32)
