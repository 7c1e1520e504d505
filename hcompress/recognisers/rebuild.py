"""A recogniser made again with another configuration or other tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from hcompress.recognisers.backbones.layers import ConvNorm
from hcompress.recognisers.build import build
from hcompress.recognisers.contract import Recogniser
from hcompress.spec.config import BatchNorm, RecogniserConfig
from hcompress.spec.heads import reranking
from hcompress.spec.refusals import check_live

R = TypeVar("R", bound=Recogniser)


def rebuilt(model: R, config: RecogniserConfig, changed: dict[str, Tensor]) -> R:
    """A recogniser of ``config`` with the old tensors, where it still has them, and ``changed``."""
    new = cast("R", build(config, model.vocabulary))
    old = model.state_dict()
    state = {
        name: changed.get(name, old.get(name, value)) for name, value in new.state_dict().items()
    }
    new.load_state_dict(state)
    return new.train(model.training)


def with_folded_batch_norm(model: Recogniser) -> Recogniser:
    """Batch normalisation becomes part of the convolutions. The answers stay the same."""
    check_live(model.config)
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


@torch.no_grad()
def live_batch_norm(live: nn.Module, folded: Mapping[str, Tensor], pixels: Tensor) -> None:
    """Give ``live`` a network's weights whose batch normalisation was folded away, ready to train.

    What was folded can't be known: each normalisation takes the mean and the deviation of its own
    input over ``pixels`` [N, C, H, W], and undoes them. The answers stay the same.
    """

    def undone(norm: nn.BatchNorm2d, bias: Tensor) -> Callable[[nn.Module, tuple[Tensor]], None]:
        def before(_: nn.Module, inputs: tuple[Tensor]) -> None:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_(torch.sqrt(variance + norm.eps))
            norm.bias.copy_(mean + bias)

        return before

    hooks = []
    for name, module in live.named_modules():
        if isinstance(module, ConvNorm):
            assert isinstance(module.norm, nn.BatchNorm2d)
            module.conv.weight.copy_(folded[f"{name}.conv.weight"])
            hook = undone(module.norm, folded[f"{name}.conv.bias"])
            hooks.append(module.norm.register_forward_pre_hook(hook))
    training = live.training
    live.eval()(pixels)
    live.train(training)
    for registered in hooks:
        registered.remove()


def with_rerank(model: Recogniser) -> Recogniser:
    """Bit logits choose among the nearest codes (`HammingHead.refine`); nothing else changes."""
    return rebuilt(model, replace(model.config, head=reranking(model.config.head)), {})


def with_temperature(model: Recogniser, temperature: float) -> Recogniser:
    """Another confidence temperature; the texts stay the same."""
    return rebuilt(model, replace(model.config, temperature=temperature), {})
