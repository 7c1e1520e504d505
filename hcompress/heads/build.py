"""From a configuration to its head: the one place that asks which head it is."""

from __future__ import annotations

from torch import nn

from hcompress.heads.hamming.module import HammingClassifier, HammingEmbedding
from hcompress.heads.softmax import (
    FactorisedClassifier,
    FactorisedEmbedding,
    LearnedEmbedding,
    SoftmaxClassifier,
)
from hcompress.spec.config import Classifier, Embedding, RecogniserConfig


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
