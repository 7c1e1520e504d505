"""One labelled image, and what every source of them has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Sample(NamedTuple):
    """One image and what it says."""

    image: NDArray[np.uint8]
    """height x width x 3 (RGB), of any size."""
    text: str


class Label(NamedTuple):
    """What a sample says, without its image."""

    text: str
    where: str
    """File and line, or file and entry."""


@runtime_checkable
class Labelled(Protocol):
    """A source whose labels can be looked at without its images."""

    def text(self, index: int) -> str:
        """The sample's text. Raises InputRefused where it is damaged."""
        ...

    def label(self, index: int) -> Label:
        """The text, and where it stands."""
        ...


class DataSource(Protocol):
    """Labelled images by index: the same sample for the same index, always.

    Picklable, so that worker processes can open their own. Getting a sample raises InputRefused
    where the data is damaged, naming the file and the entry.
    """

    @property
    def digest(self) -> str:
        """64 hex digits; other content, other digest."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True)
class Around:
    """What is laid around a source: as many samples, of the same content."""

    source: DataSource

    @property
    def digest(self) -> str:
        """The source's: what is made of it follows from it."""
        return self.source.digest

    def __len__(self) -> int:
        return len(self.source)


def text_of(source: DataSource, index: int) -> str:
    """What the sample says; the image is made only where the source can't do without."""
    return source.text(index) if isinstance(source, Labelled) else source[index].text


def label_of(source: DataSource, index: int) -> Label:
    """The sample's label; the image is made only where the source can't do without."""
    if isinstance(source, Labelled):
        return source.label(index)
    return Label(source[index].text, f"line {index + 1}")
