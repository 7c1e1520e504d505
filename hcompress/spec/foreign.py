"""What a recogniser from elsewhere is, as plain data: classes, transcription, input, output.

Torch-free and onnx-free. Its body is opaque: an ONNX graph that runs, is cut, stored smaller and
written again, and is never rebuilt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from hcompress.errors import InputRefused
from hcompress.strict.schema import Param

MOST_PIXELS = 1 << 15
"""A side that no line has."""


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


class Resize(StrEnum):
    """How pixels are resampled."""

    OPENCV_LINEAR = "opencv-linear"
    """OpenCV's INTER_LINEAR: two neighbours a side, whatever the scale."""
    LANCZOS = "lanczos"
    """Pillow's."""
    BILINEAR = "bilinear"
    """Pillow's: all pixels that shrink into one count. Grey comes before it."""


@dataclass(frozen=True)
class ImageInput:
    """How an image of a line becomes the input, float [N, C, height, width].

    A value x from 0 to 255 becomes (x / 255 - mean) / std, a mean and a std a channel.
    """

    channels: Channels
    height: Annotated[int, Param(minimum=1, maximum=1024)]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    minimum_width: Annotated[int, Param(minimum=0, maximum=MOST_PIXELS)] = 0
    """Narrower images are padded to it on the right."""
    maximum_width: Annotated[int | None, Param(minimum=1, maximum=MOST_PIXELS)] = None
    """Wider ones are squeezed to it; None: any width."""
    padding: float = 0.0
    """What stands to the right of an image narrower than the batch, after normalisation."""
    resize: Resize = Resize.OPENCV_LINEAR
    single: bool = False
    """The graph takes one image at a time."""
    stretched: bool = False
    """Every image is drawn out or squeezed to the greatest width, whatever its aspect."""
    repeats_edge: bool = False
    """What stands to the right is the image's last column again, and not `padding`."""
    multiple: Annotated[int, Param(minimum=1, maximum=1024)] = 1
    """Widths are padded to whole times this."""

    def __post_init__(self) -> None:
        channels = 1 if self.channels is Channels.GREY else 3
        if len(self.mean) != channels or len(self.std) != channels:
            raise InputRefused(f"mean and std must have {channels} numbers each")
        if 0.0 in self.std:
            raise InputRefused("a std of zero")
        widest = self.maximum_width
        if self.stretched and (widest is None or widest != self.minimum_width):
            raise InputRefused("stretched images have one width: the least is the greatest")
        if widest is not None and widest < max(1, self.minimum_width):
            raise InputRefused("no width is both above the least and below the greatest")


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
    dropped: frozenset[int] = frozenset()
    """Classes that keep their ids and are never answered."""
    origin: tuple[int, ...] | None = None
    """Where each class stood in the file that this was made of, -1 if it is new; None: where it
    stands here."""

    @property
    def characters(self) -> tuple[str, ...]:
        """What it can answer: every class's string once, the blank's and dropped ones left out."""
        out = self.dropped | {self.blank}
        return tuple(
            dict.fromkeys(one for place, one in enumerate(self.classes) if place not in out)
        )

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
