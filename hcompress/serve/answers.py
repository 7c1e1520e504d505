"""From a reading to what a client is told of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from hcompress.runtime.only import fitting
from hcompress.runtime.reading import Candidate
from hcompress.spec.config import CANDIDATES

MOST_ONLY: Final = 4096
"""Characters that `only` may name."""
_DIGITS: Final = 6


class Read(Protocol):
    """As much of a reading as is told."""

    @property
    def text(self) -> str: ...
    @property
    def confidence(self) -> float: ...
    @property
    def candidates(self) -> Sequence[Sequence[Candidate]]: ...


@dataclass(frozen=True)
class Asked:
    """What a request wants to be told of each image."""

    top: int = 0
    """Candidates of each character, `CANDIDATES` at most."""
    min_confidence: float = 0.0
    """A text less sure than this is not told."""
    only: str | None = None
    """The characters that a text may have, or a class of them."""


def told(reading: Read, asked: Asked) -> dict[str, Any]:
    """A reading as JSON. Its text is null if it is less sure than what was asked for."""
    text, confidence, candidates = reading.text, reading.confidence, reading.candidates
    if asked.only is not None:
        text, confidence, candidates = _narrowed(reading, fitting((asked.only,)))
    answer: dict[str, Any] = {
        "text": text if confidence >= asked.min_confidence else None,
        "confidence": round(float(confidence), _DIGITS),
    }
    if asked.top:
        answer["candidates"] = [_best(step, min(asked.top, CANDIDATES)) for step in candidates]
    remark = getattr(reading, "remark", "")
    return {**answer, "remark": remark} if remark else answer


def _best(step: Sequence[Candidate], most: int) -> list[dict[str, Any]]:
    return [
        {"character": one["character"], "confidence": round(float(one["confidence"]), _DIGITS)}
        for one in step[:most]
    ]


def _narrowed(
    reading: Read, fits: Callable[[str], bool]
) -> tuple[str, float, Sequence[Sequence[Candidate]]]:
    """Text, confidence and candidates of the best candidates that are allowed, each step by itself.

    A step without one is left out. Where another answer than the best was taken the confidence
    falls by as much as that one is less likely: of a step that is left out, by all that is not the
    best answer.
    """
    steps = [([one for one in step if fits(one["character"])], step) for step in reading.candidates]
    factors = [_factor(kept, step) for kept, step in steps]
    left = [kept for kept, _ in steps if kept]
    return (
        "".join(kept[0]["character"] for kept in left),
        reading.confidence * math.prod(factors),
        left,
    )


def _factor(kept: Sequence[Candidate], step: Sequence[Candidate]) -> float:
    best = step[0]["confidence"] if step else 1.0
    if not kept:
        return max(0.0, 1.0 - best)
    return min(1.0, kept[0]["confidence"] / best) if best > 0 else 0.0
