"""How codes are learnt, torch-free. Letters and equations are the EMU paper's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ClassNet(StrEnum):
    """What makes a character's code of its id."""

    TABLE = "table"
    """K numbers a character: it can start from codes that are there."""
    MLP = "mlp"
    """A network over a vector a character, from nothing: the paper's."""


class Sharpness(StrEnum):
    """What says how near to a sign tanh is."""

    NET = "net"
    """A network over the decision's features, drawn up as the loss falls (Eq. 10, 13, 14)."""
    SCHEDULE = "schedule"
    """The square root of 1 + i/2 at step i: the paper's ablation."""
    FIXED = "fixed"
    """A number that stays."""


class Surrogate(StrEnum):
    """Which gradient a relaxed sign gives."""

    PAPER = "paper"
    """Eq. 17, which does not vanish as the sharpness grows."""
    EXACT = "exact"
    """Eq. 16, tanh's own."""


@dataclass(frozen=True)
class EmuOptions:
    """How codes are learnt. The defaults are the paper's, but for the sign of tau's exponent."""

    class_net: ClassNet = ClassNet.TABLE
    sharpness: Sharpness = Sharpness.NET
    fixed: float = 4.0
    """Beta, if it is fixed."""
    surrogate: Surrogate = Surrogate.PAPER
    scale: float = 20.0
    """s, by which cosines are multiplied. The paper divides by tau = 20: then every score is within
    0.05 of every other, the loss is stuck at ln V, and its own Fig. 9 could not be."""
    mu: float = 1.0
    """Eq. 13: the sharpness aimed at is mu over the loss."""
    weight: float = 1e-4
    """Lambda in Eq. 14."""
    decay: float = 0.999
    """Gamma in Eq. 15."""
