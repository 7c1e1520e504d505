"""What a recogniser from elsewhere is, as plain data: classes, transcription, input, output.

Torch-free and onnx-free. Its body is opaque: an ONNX graph that runs, is cut, stored smaller and
written again, and is never rebuilt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Channels(StrEnum):
    """What an image's channels are, in order."""

    RGB = "rgb"
    BGR = "bgr"
    GREY = "grey"


class Answers(StrEnum):
    """What the output holds for each class of a frame."""

    PROBABILITIES = "probabilities"
    LOGITS = "logits"
    LOG_PROBABILITIES = "log-probabilities"
    IDS = "ids"
    """Nothing a class: each frame's best class alone."""


@dataclass(frozen=True)
class ImageInput:
    """How an image of a line becomes the input, float [N, C, height, width].

    A value x from 0 to 255 becomes (x / 255 - mean) / std, a mean and a std a channel.
    """

    channels: Channels
    height: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    minimum_width: int = 0
    """Narrower images are padded to it on the right."""
    maximum_width: int | None = None
    """Wider ones are squeezed to it; None: any width."""
    padding: float = 0.0
    """What stands to the right of an image narrower than the batch, after normalisation."""


@dataclass(frozen=True)
class ForeignSpec:
    """All of a foreign recogniser that is neither graph nor weights."""

    classes: tuple[str, ...]
    """What each class stands for: any string; the blank's is empty. Two may be equal."""
    blank: int
    answers: Answers
    time_first: bool
    """The output is [T, N, V], not [N, T, V]."""
    image: ImageInput
    preprocessing: str
    """The name its input goes by in the table of preprocessings."""
    source: str
    """Where the classes were found, for people."""

    def text(self, ids: Sequence[int]) -> str:
        """CTC: repeats collapse, and blanks drop out."""
        return "".join(self.classes[i] for i in self.kept(ids).values())

    def kept(self, ids: Sequence[int]) -> dict[int, int]:
        """The frames that stand for a character, each with its class."""
        return {
            place: i
            for place, i in enumerate(ids)
            if i != self.blank and (place == 0 or ids[place - 1] != i)
        }
