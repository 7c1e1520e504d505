"""The Hamming classifier and embedding as torch modules (Eq. 5 and 7)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hcompress.compute.shapes import _fill
from hcompress.spec.config import RecogniserConfig

HAMMING_TEMPERATURE = 1 / 32
"""Confidence temperature of an untuned Hamming head, in code lengths: 16 bits at K = 512."""


class HammingClassifier(nn.Module):
    """Eq. 5 and 7: K bit logits, read out as the nearest code."""

    def __init__(self, config: RecogniserConfig) -> None:
        super().__init__()
        assert config.code_length is not None
        self.projection = nn.Linear(config.width, config.code_length, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """[..., d] -> bit logits [..., K]."""
        logits: Tensor = self.projection(features)
        return logits


class HammingEmbedding(nn.Module):
    """The character's code, as signs, through one K -> d projection."""

    def __init__(self, config: RecogniserConfig) -> None:
        super().__init__()
        assert config.code_length is not None
        self.projection = nn.Linear(config.code_length, config.width, bias=False)
        _fill(self.projection.weight, config.code_length**-0.5)

    def forward(self, signs: Tensor) -> Tensor:
        """signs [..., K] -> [..., d]."""
        vectors: Tensor = self.projection(signs)
        return vectors


def signs_of(logits: Tensor) -> Tensor:
    """-1/+1 by sign; zero counts as +1, so that no zero sign exists."""
    return torch.where(logits >= 0, 1.0, -1.0).to(logits.dtype)


def hamming_scores(logits: Tensor, signs: Tensor) -> Tensor:
    """Minus the Hamming distance of each bit vector to each code (Eq. 7).

    logits [..., K], signs [V, K] -> [..., V]; exact: sums of +-1 below 2**24 are whole floats.
    """
    return (signs_of(logits) @ signs.T - signs.shape[1]) / 2
