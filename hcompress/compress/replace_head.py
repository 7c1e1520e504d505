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
from hcompress.heads.hamming.fitting import fitted_projection
from hcompress.heads.hamming.loss import HAMMING_TEMPERATURE
from hcompress.heads.hamming.signs import unpacked
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.rebuild import rebuilt
from hcompress.spec.heads import Hamming, HammingInputs


def with_hamming_classifier(model: Recogniser, codebook: Codebook) -> Recogniser:
    """HC: the softmax goes, W starts as Psi (scaled so that bit logits are about 1)."""
    if model.head.softmax_columns() is None:
        raise UsageError(
            f"the classifier is {model.config.head.described}, and codes are made from a whole"
            " softmax: take the recogniser from before, or set classifier = false"
        )
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
    vectors = None if model.inputs is None else model.inputs.table()
    if vectors is None:
        spec = model.config.inputs
        what = "not there" if spec is None else f"{spec.described}, and codes replace a whole one"
        raise UsageError(
            f"the embedding is {what}: take the recogniser from before, or set embedding = false"
        )
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
