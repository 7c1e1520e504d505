"""Changing a recogniser's parts: each function takes a model and returns a new one.

A change that has nothing to change raises UsageError: a step that silently does nothing is
worse than one that stops.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hcompress.codes.file import Codebook
from hcompress.errors import UsageError
from hcompress.recogniser.config import BatchNorm, Classifier, Embedding, RecogniserConfig
from hcompress.recogniser.heads import HAMMING_TEMPERATURE, LearnedEmbedding
from hcompress.recogniser.layers import ConvNorm
from hcompress.recogniser.model import Recogniser
from hcompress.stages.sharing import SharedFrom


def rebuilt(model: Recogniser, config: RecogniserConfig, changed: dict[str, Tensor]) -> Recogniser:
    """A recogniser of ``config`` with the old tensors, where it still has them, and ``changed``."""
    new = Recogniser(config, model.vocabulary)
    old = model.state_dict()
    state = {
        name: changed.get(name, old.get(name, value)) for name, value in new.state_dict().items()
    }
    new.load_state_dict(state)
    return new.train(model.training)


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


def fitted_projection(signs: Tensor, vectors: Tensor, ridge: float = 1e-3) -> Tensor:
    """Least squares: [d, K] that takes signs [V, K] closest to vectors [V, d].

    With fewer characters than bits the fit is exact but for the ridge, relative to V, which
    keeps the answer small and the system solvable.
    """
    wide = signs.double()
    gram = wide.T @ wide
    gram += ridge * len(wide) * torch.eye(len(gram), dtype=torch.float64)
    solved: Tensor = torch.linalg.solve(gram, wide.T @ vectors.detach().double())
    return solved.T.float()


def without_ffn(model: Recogniser) -> Recogniser:
    """NoFFN: Eq. 8c leaves every layer."""
    if not model.config.ffn:
        raise UsageError("the decoder has no feed-forward networks; set remove_ffn = false")
    return rebuilt(model, replace(model.config, ffn=False), {})


def with_shared_layers(model: Recogniser, source: SharedFrom) -> Recogniser:
    """PS: one layer's weights for all."""
    if model.config.shared_layers:
        raise UsageError("the decoder's layers are shared already; set share_layers = false")
    depth = model.config.depth
    layers = [nn.Module.state_dict(model.decoder.layer(i)) for i in range(depth)]
    if source is SharedFrom.MEAN:
        chosen = {k: torch.stack([layer[k] for layer in layers]).mean(0) for k in layers[0]}
    else:
        place = {SharedFrom.FIRST: 0, SharedFrom.MIDDLE: depth // 2, SharedFrom.LAST: depth - 1}
        chosen = layers[place[source]]
    changed = {f"decoder.layers.0.{name}": value for name, value in chosen.items()}
    return rebuilt(model, replace(model.config, shared_layers=True), changed)


def with_folded_batch_norm(model: Recogniser) -> Recogniser:
    """Batch normalisation becomes part of the convolutions. The answers stay the same."""
    if model.config.batch_norm is BatchNorm.FOLDED:
        raise UsageError("batch normalisation is folded already; set fold_batch_norm = false")
    changed: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, ConvNorm):
            weight, bias = module.folded_weights()
            changed |= {f"{name}.conv.weight": weight, f"{name}.conv.bias": bias}
    return rebuilt(model, replace(model.config, batch_norm=BatchNorm.FOLDED), changed)


def folded(model: Recogniser) -> Recogniser:
    """`with_folded_batch_norm`, or the model itself where it is so already."""
    live = model.config.batch_norm is BatchNorm.LIVE
    return with_folded_batch_norm(model) if live else model


def refined(model: Recogniser) -> Recogniser:
    """Bit logits choose among the nearest codes (`Recogniser.refine`); nothing else changes."""
    if model.config.classifier is not Classifier.HAMMING:
        raise UsageError("refined is for a Hamming classifier: leave it out")
    return rebuilt(model, replace(model.config, refined=True), {})


def with_temperature(model: Recogniser, temperature: float) -> Recogniser:
    """Another confidence temperature; the texts stay the same."""
    return rebuilt(model, replace(model.config, temperature=temperature), {})
