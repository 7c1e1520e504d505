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
from hcompress.recognisers.backbones.layers import ConvNorm
from hcompress.recognisers.build import build
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.rebuild import rebuilt
from hcompress.recognisers.transformer.model import Transformer
from hcompress.spec.config import BatchNorm
from hcompress.spec.heads import Learned, Softmax


def with_matrices(model: Recogniser) -> Recogniser:
    """A softmax and a learned embedding in place of codes, V x d each.

    What the head's `grown_back` and its inputs' vectors are. Confidences keep their temperature.
    """
    config, inputs = model.config, model.inputs
    if not config.uses_codes:
        raise UsageError("classifier and embedding have no codes: nothing to give back there")
    changed: dict[str, Tensor] = {}
    with torch.no_grad():
        if config.head.code_length is not None:
            changed["classifier.weight"], temperature = model.head.grown_back()
            config = replace(config, head=Softmax(), temperature=temperature)
        if inputs is not None and inputs.spec.code_length is not None:
            changed["embedding.weight"] = inputs.vectors()
            config = replace(config, inputs=Learned())
    return rebuilt(model, config, changed)


def with_own_layers(small: Recogniser) -> Transformer:
    """Every layer with weights of its own, all of them the shared ones' at first."""
    model = _transformer(small)
    if not model.config.shared_layers:
        raise UsageError("the decoder's layers are not shared: nothing to give back there")
    shared = nn.Module.state_dict(model.decoder.layer(0))
    changed = {
        f"decoder.layers.{index}.{name}": value
        for index in range(model.config.depth)
        for name, value in shared.items()
    }
    return rebuilt(model, replace(model.config, shared_layers=False), changed)


def with_ffn(small: Recogniser) -> Transformer:
    """Feed-forward networks that add nothing yet: their second matrix is zero, the first drawn.

    Raises UsageError if there are some, or such would change the decoder.
    """
    model = _transformer(small)
    if model.config.ffn:
        raise UsageError("the decoder has its feed-forward networks: nothing to give back there")
    if model.config.post_norm:
        raise UsageError("a post-norm decoder: networks that add nothing would change it too")
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
    for name, module in build(live, model.vocabulary).named_modules():
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

    ``images`` are gone through if it is batch normalisation that comes back. Raises UsageError if
    the model lacks nothing.
    """
    missing = parts.lacking(model.config)
    if missing.matrices:
        model = with_matrices(model)
    if missing.layers:
        model = with_own_layers(model)
    if missing.ffn:
        model = with_ffn(model)
    if missing.batch_norm:
        model = with_live_batch_norm(model, images)
    return model


def _transformer(model: Recogniser) -> Transformer:
    if not isinstance(model, Transformer):
        raise model.inside("regrow")
    return model
