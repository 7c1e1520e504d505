"""How a reader reads, as plain values. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class ReadOptions:
    """The same for every reader; `OnnxReader` says what each does."""

    threads: int | None = None
    """None: one of onnxruntime's, and torch's own number."""
    only: tuple[str, ...] | None = None
    min_confidence: float = 0.0
    providers: tuple[str, ...] = ()


PLAIN: Final = ReadOptions()
