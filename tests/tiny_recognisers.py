"""Tiny recognisers whose texts depend on the image, for what runs a recogniser."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hcompress.checkpoints.checkpoint import Checkpoint
from hcompress.compress import int8 as quantising
from hcompress.recognisers.build import build
from hcompress.spec.config import (
    Backbone,
    BatchNorm,
    Preprocessing,
    RecogniserConfig,
    TransformerConfig,
    Weights,
)
from hcompress.spec.header import Provenance
from hcompress.spec.heads import Hamming, HammingInputs, Learned, Softmax
from hcompress.spec.vocabulary import Vocabulary

ROUNDING = 1e-3
"""What two ways of computing an untrained one's numbers may differ by: it is more sensitive than a
trained one, and how far two orders of adding lie apart is the processor's (1e-5 with AVX2, 3e-4
with AVX-512)."""

SMALL = TransformerConfig(
    backbone_width=0.25,
    width=32,
    ffn_width=48,
    heads=4,
    depth=2,
    max_steps=9,
    preprocessing=Preprocessing(height=16, width=32),
)
LIGHT = replace(
    SMALL,
    ffn=False,
    shared_layers=True,
    head=Hamming(64),
    inputs=HammingInputs(64),
    batch_norm=BatchNorm.FOLDED,
    weights=Weights.FP16,
    temperature=1.7,
)
"""All techniques in force, as in the last column of Table 1."""
CONFIGS: dict[str, RecogniserConfig] = {
    "softmax": SMALL,
    "softmax-fp16": replace(SMALL, batch_norm=BatchNorm.FOLDED, weights=Weights.FP16),
    "hamming-classifier": replace(SMALL, head=Hamming(64)),
    "hamming-embedding": replace(SMALL, inputs=HammingInputs(24)),
    "both-unshared": replace(LIGHT, shared_layers=False, ffn=True, weights=Weights.FP32),
    "light": LIGHT,
    "refined": replace(LIGHT, head=Hamming(64, rerank=True)),
    "refined-classifier": replace(
        SMALL, head=Hamming(64, rerank=True)
    ),
    "odd": replace(
        LIGHT, width=20, heads=5, depth=3, head=Hamming(8), inputs=HammingInputs(8), max_steps=4, temperature=0.5,
        preprocessing=Preprocessing(height=24, width=44, mean=0.4, std=0.3),
    ),
    "factorised": replace(SMALL, head=Softmax(12), inputs=Learned(8)),
    "factorised-fp16": replace(
        LIGHT, head=Softmax(16), inputs=Learned(16),
    ),
    "factorised-embedding": replace(
        SMALL, head=Hamming(64), inputs=Learned(8)
    ),
    "resnet31": replace(LIGHT, backbone=Backbone.RESNET31, backbone_width=0.0625),
}  # fmt: skip


def recogniser(
    config: RecogniserConfig, characters: int = 30, seed: int = 0, liveliness: float = 2.0
) -> Checkpoint:
    """Random weights, large enough that what is read depends on the image and on the text."""
    torch.manual_seed(seed)
    vocabulary = Vocabulary(chr(0x4E00 + place) for place in range(characters))
    model = build(config, len(vocabulary)).eval()
    with torch.no_grad():
        for module in model.modules():
            _enliven(module, liveliness)
        for name, buffer in model.named_buffers():
            if name == "codebook":
                buffer.copy_(torch.randint(0, 256, buffer.shape, dtype=torch.uint8))
        if config.weights is Weights.FP16:
            for parameter in model.parameters():
                parameter.copy_(parameter.half().float())
    return Checkpoint(model, vocabulary, Provenance("finetune", "ab" * 32))


def int8(config: RecogniserConfig, characters: int = 30) -> Checkpoint:
    """The same, as the int8 stage leaves it."""
    made = recogniser(replace(config, weights=Weights.FP32), characters)
    done = quantising.with_int8_weights(quantising.prepared(made.model), {})
    return Checkpoint(done.model.eval(), made.vocabulary, made.provenance, done.packed)


def _enliven(module: nn.Module, liveliness: float) -> None:
    """Random statistics; weights that keep or raise the scale of what goes through them."""
    if isinstance(module, nn.BatchNorm2d):
        assert module.running_mean is not None
        assert module.running_var is not None
        module.running_mean.normal_(0, 0.1)
        module.running_var.uniform_(0.5, 1.5)
        module.bias.normal_(0, 0.3)
    elif isinstance(module, nn.Conv2d | nn.Linear):
        fan = module.weight[0].numel()
        gain = 1.4 if isinstance(module, nn.Conv2d) else liveliness
        module.weight.normal_(0, gain * fan**-0.5)
        if module.bias is not None:
            module.bias.normal_(0, 0.1)
    elif isinstance(module, nn.LayerNorm):
        module.weight.uniform_(0.5, 1.5)
        module.bias.normal_(0, 0.1)


def pictures(count: int, config: RecogniserConfig, seed: int = 3) -> NDArray[np.uint8]:
    """Coarse random blocks, [N, H, W, 3]."""
    size = config.preprocessing
    random = np.random.default_rng(seed)
    cells = random.integers(0, 256, (count, size.height // 8, size.width // 4, 3), np.uint8)
    return cells.repeat(8, 1).repeat(4, 2)


def changed(config: RecogniserConfig, **values: Any) -> RecogniserConfig:
    return replace(config, **values)
