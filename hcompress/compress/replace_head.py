"""The codebook in place of the two big matrices: each function returns a new model.

A change that has nothing to change raises UsageError: a step that silently does nothing is
worse than one that stops.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from hcompress.heads.hamming.codebook import Codebook
from hcompress.heads.hamming.fitting import fitted_projection
from hcompress.heads.hamming.loss import HAMMING_TEMPERATURE
from hcompress.heads.hamming.signs import unpacked
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.rebuild import rebuilt
from hcompress.spec.heads import Hamming, HammingInputs
from hcompress.spec.refusals import check_learned, check_softmax


def with_hamming_classifier(model: Recogniser, codebook: Codebook) -> Recogniser:
    """HC: the softmax goes, W starts as Psi (scaled so that bit logits are about 1)."""
    check_softmax(model.config)
    config = replace(
        model.config,
        head=Hamming(codebook.code_length),
        temperature=codebook.code_length * HAMMING_TEMPERATURE,
    )
    psi = torch.from_numpy(codebook.projection) / model.config.width**0.5
    changed = {"classifier.projection.weight": psi.T, "codebook": torch.from_numpy(codebook.codes)}
    return rebuilt(model, config, changed)


def with_hamming_embedding(model: Recogniser, packed: NDArray[np.uint8]) -> Recogniser:
    """HE: the learned vectors go; the projection of signs starts as the closest fit to them.

    ``packed`` is the codebook [V, K/8].
    """
    check_learned(model.config)
    vectors = model.inputs.table() if model.inputs is not None else None
    assert vectors is not None
    config = replace(model.config, inputs=HammingInputs(packed.shape[1] * 8))
    codes = torch.from_numpy(packed)
    fitted = fitted_projection(unpacked(codes), vectors)
    changed = {"codebook": codes, "embedding.projection.weight": fitted}
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
