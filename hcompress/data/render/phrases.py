"""Chinese words as they are used: jieba's dictionary (MIT), with its counts."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hcompress.errors import EnvironmentFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray


PACKAGE = "jieba"
FILE = "dict.txt"
LONGEST = 4
"""Characters: longer entries are titles and names."""
FLATTENED = 0.5
"""Power of the counts: a word seen 10,000 times as often is drawn 100 times as often."""


@dataclass(frozen=True)
class Phrases:
    """Words, and how often each is drawn."""

    words: tuple[str, ...]
    cumulative: NDArray[np.float64]
    """Ending at exactly 1."""
    digest: str
    """SHA-256 of the dictionary's bytes."""

    def draw(self, rng: np.random.Generator, most: int) -> str:
        """One or more words, ``most`` characters at most."""
        aim = int(rng.integers(2, max(3, most + 1)))
        text = self._word(rng)
        while len(text) < aim:
            text += self._word(rng)
        return text[:most]

    def _word(self, rng: np.random.Generator) -> str:
        return self.words[int(np.searchsorted(self.cumulative, rng.random(), side="right"))]


@functools.lru_cache(maxsize=4)
def phrases(characters: tuple[str, ...]) -> Phrases | None:
    """The words of these characters, None where there is none: the dictionary is Chinese.

    Raises EnvironmentFailed without the package.
    """
    data = _read()
    known = frozenset(characters)
    entries = [line.split(" ") for line in data.decode().splitlines()]
    used = [
        (entry[0], int(entry[1]))
        for entry in entries
        if len(entry) > 1 and 1 < len(entry[0]) <= LONGEST and known.issuperset(entry[0])
    ]
    if not used:
        return None
    rates = np.array([max(1, count) for _, count in used], np.float64) ** FLATTENED
    cumulative = np.cumsum(rates) / rates.sum()
    cumulative[-1] = 1.0
    return Phrases(tuple(word for word, _ in used), cumulative, hashlib.sha256(data).hexdigest())


def _read() -> bytes:
    # Found, not imported: importing jieba is slow and prepares what nobody needs here.
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise EnvironmentFailed(
            f"words of Chinese text come from package {PACKAGE!r}, which is missing;"
            ' pip install "hcompress[synth-cjk]", or set words = 0'
        )
    return (Path(found.origin).parent / FILE).read_bytes()
