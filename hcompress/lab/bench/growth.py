"""What one more character costs: head time and model bytes, softmax against Hamming."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hcompress.charset import pack_charset
from hcompress.lab.bench.heads import FORMS, NAMES, PAIRS, Shape, fresh_features
from hcompress.lab.bench.models import row_bytes
from hcompress.lab.bench.timing import Effort, figures, interleave
from hcompress.spec.transcription import AUTOREGRESSIVE

FURTHER: Final = 0x20000
"""Code points from here on, rare Chinese characters first, make a charset longer."""


@dataclass(frozen=True)
class Weight:
    """An exported model's bytes as a function of its characters."""

    fixed: float
    row: float
    """Bytes a character takes, its place in the charset left out."""

    def bytes(self, characters: Sequence[str]) -> int:
        """The file with this charset."""
        rows = self.row * (len(characters) + len(AUTOREGRESSIVE.specials))
        return round(self.fixed + rows + len(pack_charset(characters)))


def weight_of(model: Path, characters: Sequence[str]) -> Weight:
    """From a real file and its charset."""
    vocabulary = len(characters) + len(AUTOREGRESSIVE.specials)
    row = row_bytes(model, vocabulary)
    packed = len(pack_charset(characters))
    return Weight(model.stat().st_size - packed - row * vocabulary, row)


def charset_of(count: int, known: Sequence[str]) -> tuple[str, ...]:
    """The first ``count`` of the known characters, and others where there are too few."""
    return tuple(itertools.islice(itertools.chain(known, _others(known)), count))


def _others(known: Sequence[str]) -> Iterator[str]:
    present = set(known)
    return (c for c in map(chr, range(FURTHER, 0x110000)) if c not in present)


def growth_row(
    count: int,
    known: Sequence[str],
    softmax: Weight,
    hamming: Weight,
    effort: Effort,
    width: int = 256,
    code_length: int = 512,
) -> dict[str, Any]:
    """Head time for one query, measured, and both files' bytes, worked out."""
    shape = Shape(count + len(AUTOREGRESSIVE.specials), width, code_length)
    contenders = {name: FORMS[name](shape) for name in NAMES}
    times = interleave(contenders, fresh_features(1, width), effort)
    characters = charset_of(count, known)
    return {
        "characters": count,
        **figures(times, NAMES, "us", 1e6, PAIRS),
        "softmax_bytes": softmax.bytes(characters),
        "hamming_bytes": hamming.bytes(characters),
    }
