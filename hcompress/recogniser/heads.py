"""Classifiers and embeddings: the two matrices the paper replaces, and what replaces them.

V = vocabulary, d = width, K = code length. The codebook itself, packed to V x K/8 bytes,
belongs to the recogniser: classifier and embedding share it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hcompress.recogniser.config import Classifier, Embedding, RecogniserConfig
from hcompress.recogniser.meta import shapes_only


class SoftmaxClassifier(nn.Module):
    """Eq. 1-2: one column of weights per character."""

    def __init__(self, config: RecogniserConfig, vocabulary: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary, config.width))
        _fill(self.weight, config.width**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        """[..., d] -> logits [..., V]."""
        return features @ self.weight.T


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


class LearnedEmbedding(nn.Module):
    """A learned vector per character."""

    def __init__(self, config: RecogniserConfig, vocabulary: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(vocabulary, config.width))
        _fill(self.weight, 1.0)

    def forward(self, ids: Tensor) -> Tensor:
        """[...] -> [..., d]."""
        return nn.functional.embedding(ids, self.weight)


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


def _fill(weight: Tensor, spread: float) -> None:
    """First weights: normal, with this standard deviation."""
    if not shapes_only():
        nn.init.normal_(weight, std=spread)


def build_classifier(config: RecogniserConfig, vocabulary: int) -> nn.Module:
    if config.classifier is Classifier.SOFTMAX:
        return SoftmaxClassifier(config, vocabulary)
    return HammingClassifier(config)


def build_embedding(config: RecogniserConfig, vocabulary: int) -> nn.Module:
    if config.embedding is Embedding.LEARNED:
        return LearnedEmbedding(config, vocabulary)
    return HammingEmbedding(config)


def signs_of(logits: Tensor) -> Tensor:
    """-1/+1 by sign; zero counts as +1, so that no zero sign exists."""
    return torch.where(logits >= 0, 1.0, -1.0).to(logits.dtype)


def hamming_scores(logits: Tensor, signs: Tensor) -> Tensor:
    """Minus the Hamming distance of each bit vector to each code (Eq. 7).

    logits [..., K], signs [V, K] -> [..., V]; exact: sums of +-1 below 2**24 are whole floats.
    """
    return (signs_of(logits) @ signs.T - signs.shape[1]) / 2
