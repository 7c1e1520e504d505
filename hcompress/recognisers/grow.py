"""A recogniser with more characters: rows added to what is stored, and not a byte else changed.

V vocabulary, n new characters, K bits, d features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hcompress.compute.quantised import quantised
from hcompress.heads.softmax import LearnedEmbedding
from hcompress.recognisers.rebuild import fitted_projection
from hcompress.recognisers.transformer.model import Recogniser
from hcompress.spec.config import SCALE, Embedding

CODEBOOK = "codebook"
VECTORS = "embedding.weight"


def vectors_of(model: Recogniser) -> Tensor:
    """What the decoder is given for every character: [V, d]."""
    return model.embed(torch.arange(model.vocabulary), model.code_signs())


def new_vectors(model: Recogniser, signs: Tensor) -> Tensor:
    """What it is given for new characters with codes ``signs`` [n, K]: [n, d].

    A Hamming embedding projects the codes. A learned one has no vector for them: they take the
    closest that a projection of codes, fitted to the vectors there are, comes to.
    """
    embedding = model.embedding
    if isinstance(embedding, LearnedEmbedding):
        return signs @ fitted_projection(model.signs(), embedding.weight).T
    projected: Tensor = embedding(signs)
    return projected


def grown(
    model: Recogniser, stored: Mapping[str, Tensor], codes: Tensor, signs: Tensor
) -> dict[str, Tensor]:
    """A file's tensors with rows for new characters: uint8 codes [n, K/8], the same as signs.

    Existing rows keep their ids, and every tensor but the codebook, and the vectors of a learned
    embedding, is the one in ``stored``.
    """
    tensors = dict(stored)
    tensors[CODEBOOK] = torch.cat([stored[CODEBOOK], codes])
    if model.config.embedding is Embedding.LEARNED:
        _append_vectors(tensors, new_vectors(model, signs))
    return tensors


def _append_vectors(tensors: dict[str, Tensor], vectors: Tensor) -> None:
    """In the type the others have: int8 ones with their scales."""
    old = tensors[VECTORS]
    if old.dtype != torch.int8:
        tensors[VECTORS] = torch.cat([old, vectors.to(old.dtype)])
        return
    packed, scale = quantised(vectors), tensors[VECTORS + SCALE]
    tensors[VECTORS] = torch.cat([old, packed.values])
    tensors[VECTORS + SCALE] = torch.cat([scale, packed.scale.to(scale.dtype)])
