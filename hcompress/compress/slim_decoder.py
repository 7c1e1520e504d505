"""Feed-forward networks removed (NoFFN), layers shared (PS)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from hcompress.compress.options import SharedFrom
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.rebuild import rebuilt
from hcompress.recognisers.transformer.model import Transformer
from hcompress.spec.refusals import check_has_ffn, check_has_own_layers


def without_ffn(whole: Recogniser) -> Transformer:
    """NoFFN: Eq. 8c leaves every layer."""
    model = _transformer(whole)
    check_has_ffn(model.config)
    return rebuilt(model, replace(model.config, ffn=False), {})


def with_shared_layers(whole: Recogniser, source: SharedFrom) -> Transformer:
    """PS: one layer's weights for all."""
    model = _transformer(whole)
    check_has_own_layers(model.config)
    depth = model.config.depth
    layers = [nn.Module.state_dict(model.decoder.layer(i)) for i in range(depth)]
    if source is SharedFrom.MEAN:
        chosen = {k: torch.stack([layer[k] for layer in layers]).mean(0) for k in layers[0]}
    else:
        place = {SharedFrom.FIRST: 0, SharedFrom.MIDDLE: depth // 2, SharedFrom.LAST: depth - 1}
        chosen = layers[place[source]]
    changed = {f"decoder.layers.0.{name}": value for name, value in chosen.items()}
    return rebuilt(model, replace(model.config, shared_layers=True), changed)


def _transformer(model: Recogniser) -> Transformer:
    if not isinstance(model, Transformer):
        raise model.inside("slim-decoder")
    return model


def slimmed(model: Recogniser, *, remove_ffn: bool, share: SharedFrom | None) -> Recogniser:
    """NoFFN, PS or both: ``share`` is what every layer becomes, None to leave them as they are."""
    if remove_ffn:
        model = without_ffn(model)
    return model if share is None else with_shared_layers(model, share)
