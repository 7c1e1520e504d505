"""docTR's MASTER: ResNet31 with multi-aspect global context, and a pre-norm decoder.

All layers share one set of norms, the embedding is scaled by √d, and the classifier has a bias: a
copy a layer, larger vectors, and `without_bias` say the same. d = width, V = characters.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from hcompress.errors import InputRefused
from hcompress.foreign.checkpoints.decoders import (
    EncoderDecoder,
    Mapped,
    Taken,
    check_sinusoid,
    conv_norm,
    layers_of,
    linear,
    rows,
    shape,
    without_bias,
)
from hcompress.spec.config import Backbone, TransformerConfig
from hcompress.spec.preprocessing import Preprocessing

if TYPE_CHECKING:
    from hcompress.foreign.checkpoints.state import State
    from hcompress.foreign.options import Asked

_BODY: Final = "feat_extractor"
_BLOCKS: Final = (1, 2, 5, 3)
_WIDENED: Final = (0, 2)
"""Stages whose first block has more channels than what comes in."""
_POOLED: Final = 3
"""Stages of ours before which there is a pool."""
_STEM: Final = 64
"""Channels of the first convolution, as published."""
_HEIGHT: Final = 32
_HEADS: Final = 8
_MEANS: Final = (0.694, 0.695, 0.693)
_STDS: Final = (0.299, 0.296, 0.301)
_PARTS: Final = ("query", "key", "value")
_FEATURES, _STEPS = "positional_encoding.pe", "decoder.positional_encoding.pe"


def _backbone() -> dict[str, Taken]:
    found = conv_norm("backbone.layers.0", f"{_BODY}.0", f"{_BODY}.1")
    found |= conv_norm("backbone.layers.1", f"{_BODY}.3", f"{_BODY}.4")
    place = 2
    for stage, count in enumerate(_BLOCKS):
        place += stage < _POOLED
        theirs = f"{_BODY}.{7 + stage}"
        for index in range(count):
            found |= _block(f"backbone.layers.{place}", f"{theirs}.{index}")
            if stage in _WIDENED and not index:
                before = f"{theirs}.{index}.downsample"
                found |= conv_norm(
                    f"backbone.layers.{place}.shortcut", f"{before}.0", f"{before}.1"
                )
            place += 1
        found |= _context(f"backbone.layers.{place - 1}.context", f"{theirs}.{count}")
        after = (f"{theirs}.{count + 1}", f"{theirs}.{count + 2}")
        found |= conv_norm(f"backbone.layers.{place}", *after)
        place += 1
    return found


def _block(ours: str, theirs: str) -> dict[str, Taken]:
    first = conv_norm(f"{ours}.first", f"{theirs}.conv1", f"{theirs}.bn1")
    return first | conv_norm(f"{ours}.second", f"{theirs}.conv2", f"{theirs}.bn2")


def _context(ours: str, theirs: str) -> dict[str, Taken]:
    found = linear(f"{ours}.mask", f"{theirs}.conv_mask")
    for name, place in (("squeeze", 0), ("norm", 1), ("expand", 3)):
        found |= linear(f"{ours}.{name}", f"{theirs}.transform.{place}")
    return found


def _layer(index: int) -> dict[str, Taken]:
    ours = f"decoder.layers.{index}"
    found: dict[str, Taken] = {}
    for name, theirs, norm in (
        ("self_attention", "attention", "input"),
        ("cross_attention", "source_attention", "masked_attention"),
    ):
        found |= linear(f"{ours}.{name}_norm", f"decoder.layer_norm_{norm}")
        products = [f"linear_layers.{place}" for place in range(3)]
        for part, product in zip((*_PARTS, "output"), (*products, "output_linear"), strict=True):
            found |= linear(f"{ours}.{name}.{part}", f"decoder.{theirs}.{index}.{product}")
    found |= linear(f"{ours}.feed_forward_norm", "decoder.layer_norm_attention")
    for part, place in (("expand", 0), ("contract", 3)):
        found |= linear(
            f"{ours}.feed_forward.{part}", f"decoder.position_feed_forward.{index}.{place}"
        )
    return found


def _map(backbone: Backbone, state: State, asked: Asked) -> Mapped:
    classes, width = shape(state, "linear.weight", 2)
    depth = layers_of(state, "decoder.source_attention.", ".output_linear.weight")
    area = check_sinusoid(state, _FEATURES, width)
    steps = check_sinusoid(state, _STEPS, width)
    across = asked.image_width or area // _HEIGHT
    if not depth or across * _HEIGHT != area:
        raise InputRefused(f"{state.where}: no doctr-master: {depth} layers, {area} positions")
    config = TransformerConfig(
        backbone=backbone,
        backbone_width=shape(state, f"{_BODY}.0.weight", 4)[0] / _STEM,
        width=width,
        ffn_width=shape(state, "decoder.position_feed_forward.0.0.weight", 2)[0],
        heads=asked.heads or _HEADS,
        depth=depth,
        max_steps=asked.max_steps or steps - 1,
        preprocessing=Preprocessing(
            height=_HEIGHT, width=across, channel_means=_MEANS, channel_stds=_STDS
        ),
    )
    parts = _backbone()
    for index in range(depth):
        parts |= _layer(index)
    parts |= _head(state, classes, width)
    found = (
        f"input: {_HEIGHT}×{across}, from the length of its positions; heads: {config.heads}"
        + ("" if asked.heads else ", as its framework has it"),
        f"steps: {config.max_steps}: what its {steps} positions leave to answers",
    )
    return Mapped(config, parts, frozenset((_FEATURES, _STEPS, "linear.bias")), found)


def _head(state: State, classes: int, width: int) -> dict[str, Taken]:
    """PAD, BOS and EOS come first here, and last, the other way round, there."""
    order = [classes - 1, classes - 2, classes - 3, *range(classes - 3)]
    norm = "decoder.layer_norm_output"
    for name in ("linear.bias", f"{norm}.weight", f"{norm}.bias"):
        shape(state, name, 1)
    if state.tensors[f"{norm}.weight"].shape != (width,):
        raise InputRefused(f"{state.where}: no doctr-master: {norm} is not of {width} features")
    weight, shift = without_bias(
        *(state.floats(f"linear.{part}") for part in ("weight", "bias")),
        *(state.floats(f"{norm}.{part}") for part in ("weight", "bias")),
    )
    in_order = rows(order)
    return {
        "embedding.weight": Taken("decoder.embed.weight", rows(order, width**0.5)),
        "classifier.weight": Taken("linear.weight", lambda _: in_order(weight)),
        "decoder.norm.weight": Taken(f"{norm}.weight"),
        "decoder.norm.bias": Taken(f"{norm}.bias", lambda _: shift),
    }


def _master(name: str, trained: str, backbone: Backbone) -> EncoderDecoder:
    return EncoderDecoder(
        name=name,
        about=f"docTR's master, as {trained}: ResNet31 with global context, a decoder",
        classifier="linear.weight",
        specials=3,
        map=partial(_map, backbone),
    )


MASTER: Final = _master("doctr-master", "docTR to 1.0 computes it", Backbone.MAGC_RESNET31)
MASTER_1_1: Final = _master(
    "doctr-master-1.1", "docTR 1.1 computes it", Backbone.MAGC_RESNET31_LINEAR
)
"""docTR 1.1 hands one ReLU to all its convolutions; torchvision, which cuts the backbone out, takes
a module once: that behind the second convolution is gone. The tensors are the same."""
