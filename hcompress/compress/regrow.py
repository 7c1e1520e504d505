"""What surgery took away, given back: a small recogniser as the start of its next teacher.

Each part comes back such that the decoder's features are the same, and training has room again. V
vocabulary, K bits, d features. What has nothing to give back raises UsageError.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor, nn

from hcompress.compress.options import Parts
from hcompress.errors import UsageError
from hcompress.heads.hamming.module import HAMMING_TEMPERATURE
from hcompress.recognisers.backbones.layers import ConvNorm
from hcompress.recognisers.grow import vectors_of
from hcompress.recognisers.rebuild import rebuilt
from hcompress.recognisers.transformer.model import Recogniser
from hcompress.spec.config import BatchNorm, Classifier, Embedding


def with_matrices(model: Recogniser) -> Recogniser:
    """A softmax and a learned embedding in place of codes, V x d each.

    Column v is W^T s_v, s_v the code's signs: its score is the sum of bit logits along the code,
    over the temperature of an untuned Hamming head, as in `code_cross_entropy`: Eq. 7 with
    the bit logits themselves in place of their signs, so a trained recogniser's answers are near
    the old ones, not the same. Confidences keep their temperature.
    """
    config = model.config
    if not config.uses_codes:
        raise UsageError("classifier and embedding have no codes: nothing to give back there")
    changed: dict[str, Tensor] = {}
    temperature = config.temperature
    with torch.no_grad():
        if config.classifier is Classifier.HAMMING:
            assert isinstance(model.classifier.projection, nn.Linear)
            signs = model.signs()
            untuned = HAMMING_TEMPERATURE * signs.shape[1]
            changed["classifier.weight"] = (
                signs @ model.classifier.projection.weight / (2 * untuned)
            )
            temperature = config.temperature / untuned
        if config.embedding is Embedding.HAMMING:
            changed["embedding.weight"] = vectors_of(model)
    plain = replace(
        config,
        classifier=Classifier.SOFTMAX,
        embedding=Embedding.LEARNED,
        code_length=None,
        rerank=False,
        temperature=temperature,
    )
    return rebuilt(model, plain, changed)


def with_own_layers(model: Recogniser) -> Recogniser:
    """Every layer with weights of its own, all of them the shared ones' at first."""
    if not model.config.shared_layers:
        raise UsageError("the decoder's layers are not shared: nothing to give back there")
    shared = nn.Module.state_dict(model.decoder.layer(0))
    changed = {
        f"decoder.layers.{index}.{name}": value
        for index in range(model.config.depth)
        for name, value in shared.items()
    }
    return rebuilt(model, replace(model.config, shared_layers=False), changed)


def with_ffn(model: Recogniser) -> Recogniser:
    """Feed-forward networks that add nothing yet: their second matrix is zero, the first drawn."""
    if model.config.ffn:
        raise UsageError("the decoder has its feed-forward networks: nothing to give back there")
    new = rebuilt(model, replace(model.config, ffn=True), {})
    for index in range(new.config.stored_layers):
        contract = new.decoder.layer(index).feed_forward.contract
        nn.init.zeros_(contract.weight)
        nn.init.zeros_(contract.bias)
    return new


def with_live_batch_norm(model: Recogniser, images: Iterable[Tensor]) -> Recogniser:
    """Batch normalisation that undoes itself: it scales by the spread it divides by.

    The mean and spread of every convolution's output are those over ``images``, batches of uint8
    [N, H, W, C]. The answers stay the same, up to rounding.
    """
    if model.config.batch_norm is BatchNorm.LIVE:
        raise UsageError("batch normalisation is live: nothing to give back there")
    moments = _moments(model, images)
    changed: dict[str, Tensor] = {}
    live = replace(model.config, batch_norm=BatchNorm.LIVE)
    for name, module in Recogniser(live, model.vocabulary).named_modules():
        if not isinstance(module, ConvNorm):
            continue
        assert isinstance(module.norm, nn.BatchNorm2d)
        mean, variance = moments[name].mean, moments[name].variance
        changed |= {
            f"{name}.norm.weight": torch.sqrt(variance + module.norm.eps).float(),
            f"{name}.norm.bias": mean.float(),
            f"{name}.norm.running_mean": (mean - moments[name].bias).float(),
            f"{name}.norm.running_var": variance.float(),
        }
    return rebuilt(model, live, changed)


@dataclass
class _Moments:
    """Of a convolution's output with its ``bias``, a number a channel, in float64."""

    bias: Tensor
    count: int
    sums: Tensor
    squares: Tensor

    def see(self, _: nn.Module, __: object, out: Tensor) -> None:
        """A forward hook. out [N, C, H, W]."""
        rows = out.transpose(0, 1).flatten(1).double()
        self.count += rows.shape[1]
        self.sums += rows.sum(1)
        self.squares += rows.square().sum(1)

    @property
    def mean(self) -> Tensor:
        return self.sums / max(1, self.count)

    @property
    def variance(self) -> Tensor:
        return (self.squares / max(1, self.count) - self.mean.square()).clamp(min=0)


@torch.inference_mode()
def _moments(model: Recogniser, images: Iterable[Tensor]) -> dict[str, _Moments]:
    found: dict[str, _Moments] = {}
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if not isinstance(module, ConvNorm):
                continue
            assert module.conv.bias is not None
            zeros = torch.zeros(len(module.conv.bias), dtype=torch.float64)
            found[name] = _Moments(module.conv.bias.double(), 0, zeros, zeros.clone())
            hooks.callback(module.conv.register_forward_hook(found[name].see).remove)
        for batch in images:
            model.encode(batch)
    return found


ALL: Final = Parts()


def regrown(model: Recogniser, images: Iterable[Tensor], parts: Parts = ALL) -> Recogniser:
    """Give back what of ``parts`` the model lacks; a bottleneck stays.

    ``images`` are gone through if `Parts.measured` says so. Raises UsageError if the model lacks
    nothing.
    """
    config, start = model.config, model
    if parts.matrices and config.uses_codes:
        model = with_matrices(model)
    if parts.layers and config.shared_layers:
        model = with_own_layers(model)
    if parts.ffn and not config.ffn:
        model = with_ffn(model)
    if parts.measured(config):
        model = with_live_batch_norm(model, images)
    if model is start:
        raise UsageError("the recogniser has all the parts asked for: nothing to give back")
    return model
