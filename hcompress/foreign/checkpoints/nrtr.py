"""OpenOCR's NRTR: two convolutions, encoder layers over columns, a post-norm decoder.

The embedding is scaled by √d; the classifier has no bias, and neither PAD nor BOS. d = width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hcompress.errors import InputRefused
from hcompress.foreign.checkpoints.decoders import (
    EncoderDecoder,
    Mapped,
    Taken,
    affine,
    check_sinusoid,
    joined_attention,
    layers_of,
    linear,
    rows,
    shape,
)
from hcompress.spec.config import Backbone, TransformerConfig
from hcompress.spec.preprocessing import Preprocessing

if TYPE_CHECKING:
    from hcompress.foreign.checkpoints.state import State
    from hcompress.foreign.options import Asked

_STEM: Final = "encoder.block"
_POSITIONS: Final = "decoder.positional_encoding.pe"
_CLASSES: Final = "decoder.tgt_word_prj.weight"
_STEPS: Final = 25
_WIDTH: Final = 128
_HEADS: Final = 8


def _encoder_layer(index: int) -> dict[str, Taken]:
    ours, theirs = f"backbone.layers.{index}", f"decoder.encoder.{index}"
    return {
        **joined_attention(f"{ours}.attention", f"{theirs}.self_attn.qkv"),
        **linear(f"{ours}.attention.output", f"{theirs}.self_attn.out_proj"),
        **linear(f"{ours}.attention_norm", f"{theirs}.norm1"),
        **linear(f"{ours}.expand", f"{theirs}.mlp.fc1"),
        **linear(f"{ours}.contract", f"{theirs}.mlp.fc2"),
        **linear(f"{ours}.norm", f"{theirs}.norm3"),
    }


def _layer(index: int) -> dict[str, Taken]:
    ours, theirs = f"decoder.layers.{index}", f"decoder.decoder.{index}"
    cross = f"{ours}.cross_attention"
    return {
        **joined_attention(f"{ours}.self_attention", f"{theirs}.self_attn.qkv"),
        **linear(f"{ours}.self_attention.output", f"{theirs}.self_attn.out_proj"),
        **linear(f"{ours}.self_attention_norm", f"{theirs}.norm1"),
        **linear(f"{cross}.query", f"{theirs}.cross_attn.q"),
        **joined_attention(cross, f"{theirs}.cross_attn.kv", ("key", "value")),
        **linear(f"{cross}.output", f"{theirs}.cross_attn.out_proj"),
        **linear(f"{ours}.cross_attention_norm", f"{theirs}.norm2"),
        **linear(f"{ours}.feed_forward.expand", f"{theirs}.mlp.fc1"),
        **linear(f"{ours}.feed_forward.contract", f"{theirs}.mlp.fc2"),
        **linear(f"{ours}.feed_forward_norm", f"{theirs}.norm3"),
    }


def _map(state: State, asked: Asked) -> Mapped:
    classes, width = shape(state, _CLASSES, 2)
    check_sinusoid(state, _POSITIONS, width)
    channels = shape(state, f"{_STEM}.3.weight", 4)[0]
    encoder = layers_of(state, "decoder.encoder.", ".norm1.weight")
    depth = layers_of(state, "decoder.decoder.", ".norm1.weight")
    if not depth or width % channels:
        raise InputRefused(
            f"{state.where}: no openocr-nrtr: {depth} layers, {width} features, {channels} channels"
        )
    config = TransformerConfig(
        backbone=Backbone.NRTR,
        width=width,
        ffn_width=shape(state, "decoder.decoder.0.mlp.fc1.weight", 2)[0],
        heads=asked.heads or _HEADS,
        depth=depth,
        encoder_depth=encoder,
        post_norm=True,
        max_steps=asked.max_steps or _STEPS,
        preprocessing=Preprocessing(
            height=4 * (width // channels), width=asked.image_width or _WIDTH
        ),
    )
    parts: dict[str, Taken] = {}
    for name, place in (("first", 0), ("second", 3)):
        parts |= linear(f"backbone.{name}.conv", f"{_STEM}.{place}")
        parts |= affine(state, f"backbone.{name}.scale", f"{_STEM}.{place + 2}")
    for index in range(encoder):
        parts |= _encoder_layer(index)
    for index in range(depth):
        parts |= _layer(index)
    # EOS is class 0, characters follow; BOS and PAD come last, and are no classes.
    order = [classes + 1, classes, *range(classes)]
    parts["embedding.weight"] = Taken("decoder.embedding.embedding.weight", rows(order, width**0.5))
    parts["classifier.weight"] = Taken(_CLASSES, rows([None, None, *range(classes)]))
    size = config.preprocessing
    found = (
        f"input: {size.height}×{size.width}: the height from its features, the width "
        + ("as asked" if asked.image_width else "as its framework has it"),
        f"heads: {config.heads}{', as asked' if asked.heads else ', as its framework has it'};"
        f" steps: {config.max_steps}{', as asked' if asked.max_steps else ', likewise'}",
    )
    normed = {f"{_STEM}.{place}.running_{what}" for place in (2, 5) for what in ("mean", "var")}
    return Mapped(config, parts, frozenset((_POSITIONS, *normed)), found)


NRTR: Final = EncoderDecoder(
    name="openocr-nrtr",
    about="OpenOCR's NRTR: two convolutions, a transformer",
    classifier=_CLASSES,
    specials=1,
    map=_map,
)
