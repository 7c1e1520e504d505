"""In what order lines are taken: by chance, whatever order they lie in.

Label files, LMDBs and folders are often sorted: by text, by page, by whoever wrote them. Neither a
batch nor a first few lines taken as they lie would say anything of the rest. Rendered lines are
drawn by chance one by one, or dealt out evenly, and are taken as they come.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Protocol, runtime_checkable

from hcompress.data.sample import Around

if TYPE_CHECKING:
    from hcompress.data.sample import DataSource, Sample


VERSION: Final = 1
"""Raise it when the same data would be taken in another order."""
_ROUNDS: Final = 8
_LEAST_BITS: Final = 6
_WORD: Final = 2**64 - 1


@runtime_checkable
class Dealt(Protocol):
    """A source whose order is by chance already, so that its first lines say what the rest are."""

    dealt: ClassVar[bool]


@dataclass(frozen=True)
class Order:
    """A permutation of 0 to ``size`` - 1, by ``seed`` and ``turn``, that takes no memory.

    A Feistel network over the next power of two, walked until it lands inside: the same on every
    machine and with every library.
    """

    size: int
    seed: int = 0
    turn: int = 0

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, place: int) -> int:
        if not 0 <= place < self.size:
            raise IndexError(place)
        if self.size == 1:
            return 0
        place = self._shuffled(place)
        while place >= self.size:
            place = self._shuffled(place)
        return place

    @functools.cached_property
    def _keys(self) -> tuple[int, ...]:
        text = f"hcompress order {VERSION} {self.size} {self.seed} {self.turn}"
        digest = hashlib.shake_256(text.encode()).digest(8 * _ROUNDS)
        return tuple(
            int.from_bytes(digest[start : start + 8], "little")
            for start in range(0, len(digest), 8)
        )

    def _shuffled(self, place: int) -> int:
        bits = max(_LEAST_BITS, (self.size - 1).bit_length())
        low, high = bits - bits // 2, bits // 2
        left, right = place >> low, place & ((1 << low) - 1)
        for key in self._keys:
            left, right = right, left ^ (_mixed(right + key) & ((1 << high) - 1))
            low, high = high, low
        return left << low | right


def _mixed(value: int) -> int:
    """A 64-bit number, each bit of which depends on all of ``value``: SplitMix64's last step."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    value = (value ^ value >> 27) * 0x94D049BB133111EB & _WORD
    return value ^ value >> 31


def is_dealt(source: DataSource) -> bool:
    """Whether the source's own order is by chance."""
    return isinstance(source, Dealt) and source.dealt


def drawn(source: DataSource, count: int) -> Sequence[int]:
    """``count`` of the source's indices, or all if it has fewer, in the order to take them in.

    The same for the same data, so that models are held against each other on the same lines.
    """
    count = min(count, len(source))
    if is_dealt(source):
        return range(count)
    order = Order(len(source))
    return [order[place] for place in range(count)]


def drawn_as_they_lie(source: DataSource, count: int) -> Sequence[int]:
    """The same indices, sorted: for what a person reads, and where no order matters."""
    if count >= len(source):
        return range(len(source))
    chosen = drawn(source, count)
    return chosen if isinstance(chosen, range) else sorted(chosen)


def sampled(source: DataSource, count: int) -> int | None:
    """The version of the order that ``count`` lines are drawn in, or None if they are all there
    are, or the first of dealt ones: what was measured on them depends on it."""
    return None if count >= len(source) or is_dealt(source) else VERSION


@dataclass(frozen=True)
class Shuffled(Around):
    """A source in an order by chance: any first lines of it are a sample."""

    dealt: ClassVar[bool] = True

    def __getitem__(self, index: int) -> Sample:
        return self.source[self._order[index]]

    @functools.cached_property
    def _order(self) -> Order:
        return Order(len(self.source))


def shuffled(source: DataSource) -> DataSource:
    """The source in an order by chance, or itself if it is in one."""
    return source if is_dealt(source) else Shuffled(source)


@dataclass(frozen=True)
class Passes(Around):
    """A source gone through again and again without end, each time in another order by chance.

    Entry p is the sample at place p % N of pass p // N; each pass has every sample once.
    """

    seed: int

    def __getitem__(self, index: int) -> Sample:
        return self.source[self.place(index)]

    def place(self, index: int) -> int:
        """Which of the source's samples entry ``index`` is."""
        turn, place = divmod(index, len(self.source))
        if is_dealt(self.source):
            return place
        return _order(len(self.source), self.seed, turn)[place]


@functools.lru_cache(maxsize=4)
def _order(size: int, seed: int, turn: int) -> Order:
    return Order(size, seed, turn)
