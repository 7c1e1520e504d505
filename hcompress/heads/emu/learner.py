"""ClassNet, beta-net and what they have been through: all that is thrown away afterwards.

M decisions, V vocabulary, d features, K bits.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from hcompress.heads.emu.core import moving_sharpness, relaxed_signs, scheduled_sharpness
from hcompress.heads.emu.options import ClassNet, EmuOptions, Sharpness

HIDDEN: Final = 64
"""Of the beta-net. Its figure is not in the text."""


class CodeLearner(nn.Module):
    """Every character's code as it is learnt, and how sharp signs are by now.

    `begin` comes before each step; what it makes of the codes serves the whole step.
    """

    sharp: Tensor
    """Beta' of Eq. 15, []."""
    step: Tensor
    """Steps begun, []."""
    seen: Tensor
    """Mean beta of the last step's decisions, []: below 0 if there was none."""

    def __init__(self, vocabulary: int, width: int, length: int, options: EmuOptions) -> None:
        super().__init__()
        self.options = options
        self.class_net: nn.Module
        if options.class_net is ClassNet.TABLE:
            self.class_net = nn.Embedding(vocabulary, length)
        else:
            self.class_net = nn.Sequential(
                nn.Embedding(vocabulary, width),
                nn.Linear(width, width),
                nn.ReLU(),
                nn.Linear(width, length),
            )
        self.beta_net: nn.Module | None = None
        if options.sharpness is Sharpness.NET:
            self.beta_net = nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
        self.register_buffer("ids", torch.arange(vocabulary), persistent=False)
        self.register_buffer("sharp", torch.tensor(1.0))
        self.register_buffer("step", torch.tensor(0))
        self.register_buffer("seen", torch.tensor(-1.0))
        self._codes: Tensor | None = None
        self._signs: Tensor | None = None

    def train(self, mode: bool = True) -> CodeLearner:
        self._codes = self._signs = None
        super().train(mode)
        return self

    def start_from(self, logits: Tensor) -> None:
        """Begin with these code logits [V, K]; a network over ids goes its own way."""
        if isinstance(self.class_net, nn.Embedding):
            with torch.no_grad():
                self.class_net.weight.copy_(logits)

    def code_logits(self) -> Tensor:
        """a_j of every character, [V, K]: its signs are the code, its size how sure they are."""
        made: Tensor = self.class_net(self.ids)
        return made

    def begin(self) -> None:
        """One step further: beta' moves, and codes are relaxed by it."""
        with torch.no_grad():
            if self.options.sharpness is Sharpness.FIXED:
                self.sharp.fill_(self.options.fixed)
            elif self.options.sharpness is Sharpness.SCHEDULE:
                self.sharp.fill_(scheduled_sharpness(int(self.step)))
            elif float(self.seen) >= 0:
                self.sharp.copy_(moving_sharpness(self.sharp, self.seen, self.options.decay))
            self.step += 1
        logits = self.code_logits().float()
        # A copy: going on to the next step must not change what this one goes back through.
        self._codes = relaxed_signs(logits, self.sharp.clone(), self.options.surrogate)

    def codes(self) -> Tensor:
        """c of every character, relaxed, [V, K]; without a gradient where nothing is learnt."""
        if self._codes is None:
            with torch.no_grad():
                logits = self.code_logits().float()
                self._codes = relaxed_signs(logits, self.sharp, self.options.surrogate)
        return self._codes

    def signs(self) -> Tensor:
        """The codes as -1 and +1, [V, K], as they are read."""
        if self.training or self._signs is None:
            with torch.inference_mode(False), torch.no_grad():
                self._signs = torch.where(self.code_logits() >= 0, 1.0, -1.0)
        return self._signs

    def beta(self, features: Tensor) -> Tensor:
        """How sharp the signs of decisions are: features h [..., d] -> [..., 1] (Eq. 10).

        What it learns does not reach the features.
        """
        if self.beta_net is None:
            return self.sharp.expand(*features.shape[:-1], 1)
        made: Tensor = functional.softplus(self.beta_net(features.detach()).float()) + 1
        return made

    def note(self, mean: Tensor) -> None:
        """Keep the mean beta of this step's decisions for the next `begin`."""
        self.seen.copy_(mean.detach())
