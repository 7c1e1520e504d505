"""Lines whose images can't be read, left out of training if that is asked for, and named."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from hcompress.charset import UnknownCharacter
from hcompress.data.order import is_dealt
from hcompress.data.sample import Around, Sample
from hcompress.errors import InputRefused

if TYPE_CHECKING:
    from hcompress.data.batches import Batch
    from hcompress.data.sample import DataSource
    from hcompress.progress import Progress


MOST_NAMED: Final = 20
_MARK: Final = "\0"
"""In no label that is read from a file, and in no charset: such a line is left out as others are
that have an unknown character."""


@dataclass(frozen=True)
class _Lenient(Around):
    """A source that gives a blank in place of what can't be read, and says why as its text."""

    def __getitem__(self, index: int) -> Sample:
        try:
            return self.source[index]
        except InputRefused as error:
            return Sample(np.full((8, 8, 3), 255, np.uint8), f"{_MARK}{error}")


def lenient(source: DataSource, unknown: UnknownCharacter) -> DataSource:
    """The source, or one that leaves out lines that can't be read, as ``unknown`` asks."""
    if unknown is UnknownCharacter.REFUSE or is_dealt(source):
        return source
    return _Lenient(source)


def is_unreadable(text: str) -> bool:
    """Whether it is no label, but says why there is none."""
    return text.startswith(_MARK)


@dataclass
class Naming:
    """Says of batches on their way which lines could not be read, each once."""

    progress: Progress
    _seen: set[str] = field(default_factory=set)

    def __call__(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            for text in filter(is_unreadable, batch.texts):
                self._say(text.removeprefix(_MARK))
            yield batch

    def over(self, start: Callable[[int], Iterator[Batch]]) -> Callable[[int], Iterator[Batch]]:
        """The same of batches from any step on."""
        return lambda step: self(start(step))

    def _say(self, why: str) -> None:
        if why in self._seen or len(self._seen) > MOST_NAMED:
            return
        self._seen.add(why)
        many = len(self._seen) > MOST_NAMED
        self.progress.say("left out: more lines like these" if many else f"left out: {why}")
