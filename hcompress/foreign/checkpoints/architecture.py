"""What a known recogniser is: its tensors by name and shape, how it reads images, its graph.

A side of a shape is a number, a letter that stands for the same number in all of an architecture's
shapes, or both: "4h" is four times h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Final

from hcompress.errors import InputRefused
from hcompress.foreign.options import Blank
from hcompress.strict.files import quoted

if TYPE_CHECKING:
    from hcompress.foreign.checkpoints.net import Net
    from hcompress.foreign.checkpoints.state import State

Side = int | str
Shapes = Mapping[str, tuple[Side, ...]]
MOST_ELEMENTS: Final = 1 << 28
"""Weights: 1 GiB of float32."""
IGNORED: Final = "num_batches_tracked"
"""What a BatchNorm counts in training; nothing is computed from it."""


@dataclass(frozen=True)
class Listed:
    """What classes stand for, in order, the blank left out, and who says so."""

    characters: Sequence[str]
    source: str


@dataclass(frozen=True)
class Architecture:
    """A recogniser that is known, and how its checkpoint becomes a graph."""

    name: str
    about: str
    """Whose it is and what it is made of, for people."""
    shapes: Shapes
    """All its tensors, but those that end in `IGNORED`."""
    head: str
    """What the names of its classifier's tensors begin with."""
    channels: int
    height: int
    """Of the images that it takes."""
    preprocessing: str
    """The name of how images go in."""
    blank: Blank
    time_first: bool
    """It answers [T, N, V], not [N, T, V]."""
    write: Callable[[Net, str], str]
    """Writes the graph from the image to each class's score."""
    characters: Callable[[State, int], Listed | None] = lambda _state, _classes: None
    """What the checkpoint says of so many classes, or its framework of all that have so many."""

    @property
    def classes(self) -> str:
        """The classifier's weight."""
        return f"{self.head}weight"

    @property
    def of_head(self) -> tuple[str, ...]:
        """The names of its classifier's tensors."""
        return tuple(name for name in self.shapes if name.startswith(self.head))


def conv(name: str, out: Side, into: Side, *kernel: int, bias: bool = True) -> Shapes:
    """A convolution's tensors."""
    weight: Shapes = {f"{name}.weight": (out, into, *kernel)}
    return {**weight, f"{name}.bias": (out,)} if bias else weight


def norm(name: str, channels: Side) -> Shapes:
    """A BatchNorm's tensors."""
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (channels,) for part in parts}


def linear(name: str, out: Side, into: Side) -> Shapes:
    """A linear layer's tensors."""
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def lstm(name: str, hidden: str, *inputs: Side) -> Shapes:
    """A bidirectional LSTM's tensors, a layer for each of ``inputs``."""
    gates = f"4{hidden}"
    found: dict[str, tuple[Side, ...]] = {}
    for layer, into in enumerate(inputs):
        for end in (f"l{layer}", f"l{layer}_reverse"):
            found[f"{name}.weight_ih_{end}"] = (gates, into)
            found[f"{name}.weight_hh_{end}"] = (gates, hidden)
            found[f"{name}.bias_ih_{end}"] = found[f"{name}.bias_hh_{end}"] = (gates,)
    return found


def check_shapes(architecture: Architecture, state: State) -> None:
    """Raises InputRefused, naming the tensor, if one has another shape than it must; and if all
    together are larger than any recogniser, which views of one storage can be."""
    letters: dict[str, int] = {}
    for name, sides in architecture.shapes.items():
        shape = state.tensors[name].shape
        if len(shape) != len(sides) or not all(
            _fits(side, length, letters) for side, length in zip(sides, shape, strict=True)
        ):
            wanted = ", ".join(map(str, sides))
            known = ", ".join(f"{letter} = {length}" for letter, length in letters.items())
            raise InputRefused(
                f"{state.where}: tensor {quoted(name)} is {list(shape)}; {architecture.name} has"
                f" [{wanted}] there{' with ' if known else ''}{known}"
            )
    held = sum(prod(state.tensors[name].shape) for name in architecture.shapes)
    if held > MOST_ELEMENTS:
        raise InputRefused(
            f"{state.where}: {held:,} weights: no line recogniser has more than {MOST_ELEMENTS:,}"
        )


def _fits(side: Side, length: int, letters: dict[str, int]) -> bool:
    if isinstance(side, int):
        return side == length
    letter = side.lstrip("0123456789")
    times = int(side.removesuffix(letter) or 1)
    if length <= 0 or length % times:
        return False
    return letters.setdefault(letter, length // times) == length // times
