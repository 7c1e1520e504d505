"""The codebook in place of the two big matrices: each function returns a new model.

A change that has nothing to change raises UsageError: a step that silently does nothing is
worse than one that stops.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from hcompress.errors import UsageError
from hcompress.heads.hamming.codebook import Codebook
from hcompress.heads.hamming.module import HAMMING_TEMPERATURE
from hcompress.heads.softmax import LearnedEmbedding
from hcompress.recognisers.rebuild import fitted_projection, rebuilt
from hcompress.recognisers.transformer.model import Recogniser
from hcompress.spec.config import Classifier, Embedding


def with_hamming_classifier(model: Recogniser, codebook: Codebook) -> Recogniser:
    """HC: the softmax goes, W starts as Psi (scaled so that bit logits are about 1)."""
    if model.config.classifier is Classifier.HAMMING:
        raise UsageError("the classifier is a Hamming one already; set classifier = false")
    if model.config.classifier_bottleneck is not None:
        raise UsageError(
            "the classifier is factorised, and codes are made from a whole softmax: take the"
            " recogniser from before `factorise`, or set classifier = false"
        )
    config = replace(
        model.config,
        classifier=Classifier.HAMMING,
        code_length=codebook.code_length,
        temperature=codebook.code_length * HAMMING_TEMPERATURE,
    )
    psi = torch.from_numpy(codebook.projection) / model.config.width**0.5
    changed = {"classifier.projection.weight": psi.T, "codebook": torch.from_numpy(codebook.codes)}
    return rebuilt(model, config, changed)


def with_hamming_embedding(model: Recogniser, packed: NDArray[np.uint8]) -> Recogniser:
    """HE: the learned vectors go; the projection of signs starts as the closest fit to them.

    ``packed`` is the codebook [V, K/8].
    """
    if model.config.embedding is Embedding.HAMMING:
        raise UsageError("the embedding is a Hamming one already; set embedding = false")
    if not isinstance(model.embedding, LearnedEmbedding):
        raise UsageError(
            "the embedding is factorised, and codes replace a whole one: take the recogniser from"
            " before `factorise`, or set embedding = false"
        )
    config = replace(model.config, embedding=Embedding.HAMMING, code_length=packed.shape[1] * 8)
    changed = {"codebook": torch.from_numpy(packed)}
    signs = rebuilt(model, config, changed).signs()
    changed["embedding.projection.weight"] = fitted_projection(signs, model.embedding.weight)
    return rebuilt(model, config, changed)


def with_codes(
    model: Recogniser, codebook: Codebook | None, *, classifier: bool, embedding: bool
) -> Recogniser:
    """HC, HE or both. A model that has codes by now keeps them for its embedding.

    ``codebook`` may be None if the model has codes and the classifier stays.
    """
    if classifier:
        assert codebook is not None
        model = with_hamming_classifier(model, codebook)
    if embedding and model.config.uses_codes:
        model = with_hamming_embedding(model, model.codebook.numpy())
    elif embedding:
        assert codebook is not None
        model = with_hamming_embedding(model, codebook.codes)
    return model
