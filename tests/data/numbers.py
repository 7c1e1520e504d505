"""A source whose every sample says its own number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hcompress.data.sample import Sample


@dataclass(frozen=True)
class Numbers:
    """Number n: an image full of n (modulo 256), and its text."""

    count: int
    digest: str = "ab" * 32

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        return Sample(np.full((48, 160, 3), index % 256, np.uint8), str(index))
