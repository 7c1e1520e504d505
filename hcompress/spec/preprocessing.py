"""How an image becomes a recogniser's input, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hcompress.errors import InputRefused

INPUT_LIMITS: Final = {
    "height": (8, 256), "width": (4, 2048), "mean": (-10.0, 10.0), "std": (1e-3, 10.0),
}  # fmt: skip
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes the input: fitted to height x width, then (x / 255 - mean) / std."""

    height: int = 48
    width: int = 160
    channels: int = 3
    mean: float = 0.5
    std: float = 0.5
    channel_means: Triple | None = None
    """In place of `mean`, if red, green and blue have means of their own."""
    channel_stds: Triple | None = None
    """In place of `std`."""

    @property
    def means(self) -> Triple:
        """Of red, green and blue."""
        return self.channel_means or (self.mean,) * 3

    @property
    def stds(self) -> Triple:
        return self.channel_stds or (self.std,) * 3

    @property
    def uneven(self) -> bool:
        """Whether channels differ."""
        return self.channel_means is not None or self.channel_stds is not None

    def width_of(self, height: int, width: int) -> int:  # noqa: ARG002
        """How wide the input is for an image of this size: always the same."""
        return self.width

    @property
    def any_width(self) -> bool:
        """Whether `width` is the most, and not what every image is fitted to."""
        return False


@dataclass(frozen=True)
class AnyWidth(Preprocessing):
    """Images keep their aspect, up to ``width``; their widths are padded to whole buckets."""

    bucket: int = 32
    """Pixels: an input's width is a multiple of it."""

    def __post_init__(self) -> None:
        if not 8 <= self.bucket <= self.width or self.width % self.bucket:
            raise InputRefused(f"bucket = {self.bucket}: must be at least 8, and divide the width")

    def width_of(self, height: int, width: int) -> int:
        """The width at the input's height, rounded up to a bucket."""
        fitted = max(1, round(width * self.height / max(1, height)))
        return min(self.width, -(-fitted // self.bucket) * self.bucket)

    @property
    def any_width(self) -> bool:
        return True
