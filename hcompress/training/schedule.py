"""How long a training goes on, and how fast it learns at each step."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    steps: int
    batch_size: int
    """Images a step, over all processes."""
    learning_rate: float
    matrix_rate: float = 0.0
    """The decoder's matrices learn by Muon at this rate; 0 leaves them to AdamW with the rest."""
    warmup: int = 100
    """Steps; half of all at most."""
    weight_decay: float = 0.01
    clip: float = 5.0
    validate_every: int = 0
    """Steps between validations; 0 for none."""
    patience: int = 0
    """Validations without a better accuracy before stopping; 0 to never stop early."""
    snapshot_every: int = 200
    weight_averaging: bool = False
    """The result is the mean of the weights before and after, where it reads as well. Needs
    validation."""

    def share(self, step: int) -> float:
        """Of the peak rates: linear warm-up, then half a cosine to zero."""
        warmup = min(self.warmup, self.steps // 2)
        if step < warmup:
            return (step + 1) / warmup
        done = (step - warmup) / max(1, self.steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
