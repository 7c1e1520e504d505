"""Several sources as one: a TOML file that names them and says how much there is of each."""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

from hcompress.data.order import Passes
from hcompress.errors import InputRefused
from hcompress.strict.schema import Param
from hcompress.strict.toml import read_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from hcompress.data.sample import DataSource, Sample

SOURCES: Final = "sources"
"""The key by which a mixture is told from a rendered-text spec."""
VERSION: Final = 1
"""Raise it when the same file would give other lines: it is part of the digest."""
_MOST: Final = 64
_WORD: Final = 1 << 64


@dataclass(frozen=True)
class Part:
    """One of the sources."""

    data: Annotated[Path, Param("an LMDB, a label file or a .toml, relative to the mixture")]
    weight: Annotated[float, Param("how often it is drawn, beside the others", 1e-6, 1e6)] = 1.0


@dataclass(frozen=True)
class MixtureFile:
    """What a mixture's file says."""

    seed: Annotated[int, Param(minimum=0, maximum=2**63 - 1)]
    count: Annotated[int, Param(minimum=1, maximum=10**9)]
    sources: tuple[Part, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.sources) <= _MOST:
            raise InputRefused(f"sources: {len(self.sources)}: give 1 to {_MOST}")


@dataclass(frozen=True)
class Mixture:
    """Lines of several sources in an order by chance, each source in the share of its weight.

    A source is gone through again and again, each time in another order.
    """

    sources: tuple[DataSource, ...]
    weights: tuple[float, ...]
    count: int
    seed: int
    dealt: ClassVar[bool] = True

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over the sources' digests, their weights, and what decides the order."""
        parts = {
            "mixture": VERSION,
            "sources": [
                [source.digest, weight]
                for source, weight in zip(self.sources, self.weights, strict=True)
            ],
            "count": self.count,
            "seed": self.seed,
        }
        text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(index)
        return Passes(self.sources[self.which(index)], self.seed)[index]

    def which(self, index: int) -> int:
        """The place of the source that line ``index`` is of."""
        digest = hashlib.blake2b(f"{self.seed} {index}".encode(), digest_size=8).digest()
        share = int.from_bytes(digest, "little") / _WORD
        return min(bisect.bisect_right(self._bounds, share), len(self.sources) - 1)

    @functools.cached_property
    def _bounds(self) -> list[float]:
        whole = sum(self.weights)
        return [reached / whole for reached in itertools.accumulate(self.weights)]


def mixture(raw: Mapping[str, Any], path: Path, opened: Callable[[Path], DataSource]) -> Mixture:
    """The mixture of a file that says ``raw``, its sources ``opened``.

    Raises InputRefused naming the file and the key, and where a source is empty.
    """
    file = read_file(MixtureFile, raw, str(path), base=path.parent, refuse=InputRefused)
    sources = []
    for part in file.sources:
        source = opened(part.data)
        if not len(source):
            raise InputRefused(f"{path}: {part.data} is empty")
        sources.append(source)
    weights = tuple(part.weight for part in file.sources)
    return Mixture(tuple(sources), weights, file.count, file.seed)
