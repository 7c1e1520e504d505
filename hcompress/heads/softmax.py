"""Classifiers and embeddings: the two matrices the paper replaces, and what replaces them.

V = vocabulary, d = width, K = code length, p = bottleneck. The codebook itself, packed to
V x K/8 bytes, belongs to the recogniser: classifier and embedding share it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hcompress.charset import PAD
from hcompress.compute.shapes import _fill


class SoftmaxClassifier(nn.Module):
    """Eq. 1-2: one column of weights per character."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary, width))
        _fill(self.weight, width**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        """[..., d] -> logits [..., V]."""
        return features @ self.weight.T


class FactorisedClassifier(nn.Module):
    """A softmax over p features made of d: the paper's Figure 4, after ALBERT."""

    def __init__(self, width: int, bottleneck: int, vocabulary: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, bottleneck, bias=False)
        self.columns = SoftmaxClassifier(bottleneck, vocabulary)

    def forward(self, features: Tensor) -> Tensor:
        """[..., d] -> logits [..., V]."""
        logits: Tensor = self.columns(self.projection(features))
        return logits


class LearnedEmbedding(nn.Module):
    """A learned vector per character."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary, width))
        _fill(self.weight, 1.0)

    def forward(self, ids: Tensor) -> Tensor:
        """[...] -> [..., d]."""
        return nn.functional.embedding(ids, self.weight)


class FactorisedEmbedding(nn.Module):
    """A learned vector of p features per character, through one p -> d projection."""

    def __init__(self, width: int, bottleneck: int, vocabulary: int) -> None:
        super().__init__()
        self.rows = LearnedEmbedding(bottleneck, vocabulary)
        self.projection = nn.Linear(bottleneck, width, bias=False)
        _fill(self.projection.weight, bottleneck**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """[...] -> [..., d]."""
        vectors: Tensor = self.projection(self.rows(ids))
        return vectors


def softmax_loss(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy (Eq. 1), summed. logits [N, T, V], targets [N, T]."""
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(),
        targets.flatten(),
        ignore_index=PAD,
        label_smoothing=smoothing,
        reduction="sum",
    )
