"""Classifiers and embeddings: the two matrices the paper replaces, and what replaces them.

V = vocabulary, d = width, K = code length, p = bottleneck. The codebook itself, packed to
V x K/8 bytes, belongs to the recogniser: classifier and embedding share it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hcompress.recogniser.config import Classifier, Embedding, RecogniserConfig
from hcompress.recogniser.meta import shapes_only

HAMMING_TEMPERATURE = 1 / 32
"""Confidence temperature of an untuned Hamming head, in code lengths: 16 bits at K = 512."""


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
    if config.classifier is Classifier.HAMMING:
        return HammingClassifier(config)
    if config.classifier_bottleneck is None:
        return SoftmaxClassifier(config.width, vocabulary)
    return FactorisedClassifier(config.width, config.classifier_bottleneck, vocabulary)


def build_embedding(config: RecogniserConfig, vocabulary: int) -> nn.Module:
    if config.embedding is Embedding.HAMMING:
        return HammingEmbedding(config)
    if config.embedding_bottleneck is None:
        return LearnedEmbedding(config.width, vocabulary)
    return FactorisedEmbedding(config.width, config.embedding_bottleneck, vocabulary)


def signs_of(logits: Tensor) -> Tensor:
    """-1/+1 by sign; zero counts as +1, so that no zero sign exists."""
    return torch.where(logits >= 0, 1.0, -1.0).to(logits.dtype)


def hamming_scores(logits: Tensor, signs: Tensor) -> Tensor:
    """Minus the Hamming distance of each bit vector to each code (Eq. 7).

    logits [..., K], signs [V, K] -> [..., V]; exact: sums of +-1 below 2**24 are whole floats.
    """
    return (signs_of(logits) @ signs.T - signs.shape[1]) / 2
