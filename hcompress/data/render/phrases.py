"""Chinese words as they are used: jieba's dictionary (MIT), with its counts."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
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
EVERYDAY = 0.7
"""The same power for everyday lines."""
TAGS = (("n", "nz", "vn", "nt"), ("v", "vn"), ("a", "z", "b"), ("ns",))
"""jieba's parts of speech, for nouns, verbs, adjectives and places."""


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
        text = self.word(rng)
        while len(text) < aim:
            text += self.word(rng)
        return text[:most]

    def word(self, rng: np.random.Generator) -> str:
        return self.words[int(np.searchsorted(self.cumulative, rng.random(), side="right"))]


@dataclass(frozen=True)
class Words:
    """The dictionary's words by what they can do in a line."""

    any: Phrases
    noun: Phrases
    verb: Phrases
    adjective: Phrases
    place: Phrases

    @property
    def digest(self) -> str:
        """SHA-256 of the dictionary's bytes."""
        return self.any.digest


@functools.lru_cache(maxsize=4)
def phrases(characters: tuple[str, ...]) -> Phrases | None:
    """The words of these characters, None where there is none: the dictionary is Chinese.

    Raises EnvironmentFailed without the package.
    """
    data = _read()
    used = [(word, count) for word, count, _ in _entries(data, characters)]
    return _phrases(used, FLATTENED, hashlib.sha256(data).hexdigest())


@functools.lru_cache(maxsize=2)
def everyday_words(characters: tuple[str, ...]) -> Words | None:
    """The words of these characters by kind, None where there is none.

    Common ones are drawn more often than `phrases` draws them: it is after rare characters.
    Raises EnvironmentFailed without the package.
    """
    data = _read()
    entries = list(_entries(data, characters))
    digest = hashlib.sha256(data).hexdigest()
    whole = _phrases([(word, count) for word, count, _ in entries], EVERYDAY, digest)
    if whole is None:
        return None
    kinds = [
        _phrases([(word, count) for word, count, tag in entries if tag in tags], EVERYDAY, digest)
        for tags in TAGS
    ]
    return Words(whole, *(kind or whole for kind in kinds))


def _entries(data: bytes, characters: tuple[str, ...]) -> Iterator[tuple[str, int, str]]:
    """The dictionary's words of these characters, with count and part of speech."""
    known = frozenset(characters)
    for line in data.decode().splitlines():
        entry = line.split(" ")
        if len(entry) > 1 and 1 < len(entry[0]) <= LONGEST and known.issuperset(entry[0]):
            yield entry[0], int(entry[1]), entry[2] if len(entry) > 2 else ""


def _phrases(used: Sequence[tuple[str, int]], power: float, digest: str) -> Phrases | None:
    if not used:
        return None
    rates = np.array([max(1, count) for _, count in used], np.float64) ** power
    cumulative = np.cumsum(rates) / rates.sum()
    cumulative[-1] = 1.0
    return Phrases(tuple(word for word, _ in used), cumulative, digest)


def _read() -> bytes:
    # Found, not imported: importing jieba is slow and prepares what nobody needs here.
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise EnvironmentFailed(
            f"words of Chinese text come from package {PACKAGE!r}, which is missing;"
            ' pip install "hcompress[synth-cjk]", or set words = 0 (for everyday lines: a charset'
            " without ideographs)"
        )
    return (Path(found.origin).parent / FILE).read_bytes()
