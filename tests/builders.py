"""Small recognisers made in code: the one place where tests get theirs from.

`recogniser` is one that answers; `untrained` is one that training starts from. Configurations
are of two sizes: those of `CONFIGS`, tiny, one of every kind; and `SOFTMAX` to `FOLDED`, over the
48x160 pixels of the paper, cut as its Table 1 cuts them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hcompress.checkpoints.checkpoint import Checkpoint
from hcompress.compress.int8 import prepared, with_int8_weights
from hcompress.recognisers.build import build
from hcompress.recognisers.rebuild import with_folded_batch_norm
from hcompress.recognisers.transformer.model import Transformer
from hcompress.spec.config import Backbone, BatchNorm, TransformerConfig, Weights
from hcompress.spec.header import Provenance
from hcompress.spec.heads import Hamming, HammingInputs, Learned, Softmax
from hcompress.spec.preprocessing import Preprocessing
from hcompress.spec.vocabulary import Vocabulary

ROUNDING = 1e-3
"""What two ways of computing an untrained one's numbers may differ by: it is more sensitive than a
trained one, and how far two orders of adding lie apart is the processor's (1e-5 with AVX2, 3e-4
with AVX-512)."""

CHARACTERS = Vocabulary("abcdefgh0123456789漢字")

SOFTMAX = TransformerConfig(
    backbone_width=0.25, width=32, ffn_width=64, heads=4, depth=3, max_steps=9
)
HAMMING = replace(SOFTMAX, head=Hamming(64), inputs=HammingInputs(64))
SLIM = replace(HAMMING, ffn=False, shared_layers=True)
FOLDED = replace(SLIM, batch_norm=BatchNorm.FOLDED)

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
CONFIGS: dict[str, TransformerConfig] = {
    "softmax": SMALL,
    "softmax-fp16": replace(SMALL, batch_norm=BatchNorm.FOLDED, weights=Weights.FP16),
    "hamming-classifier": replace(SMALL, head=Hamming(64)),
    "hamming-embedding": replace(SMALL, inputs=HammingInputs(24)),
    "both-unshared": replace(LIGHT, shared_layers=False, ffn=True, weights=Weights.FP32),
    "light": LIGHT,
    "reranked": replace(LIGHT, head=Hamming(64, rerank=True)),
    "reranked-classifier": replace(SMALL, head=Hamming(64, rerank=True)),
    "odd": replace(
        LIGHT,
        width=20,
        heads=5,
        depth=3,
        head=Hamming(8),
        inputs=HammingInputs(8),
        max_steps=4,
        temperature=0.5,
        preprocessing=Preprocessing(height=24, width=44, mean=0.4, std=0.3),
    ),
    "factorised": replace(SMALL, head=Softmax(12), inputs=Learned(8)),
    "factorised-fp16": replace(LIGHT, head=Softmax(16), inputs=Learned(16)),
    "factorised-embedding": replace(SMALL, head=Hamming(64), inputs=Learned(8)),
    "resnet31": replace(LIGHT, backbone=Backbone.RESNET31, backbone_width=0.0625),
}


def charset(count: int) -> Vocabulary:
    """Of the first ideographs there are."""
    return Vocabulary(chr(0x4E00 + place) for place in range(count))


def recogniser(
    config: TransformerConfig,
    characters: int | Vocabulary = 30,
    seed: int = 0,
    liveliness: float = 2.0,
) -> Checkpoint:
    """Random weights, large enough that what is read depends on the image and on the text."""
    torch.manual_seed(seed)
    vocabulary = charset(characters) if isinstance(characters, int) else characters
    model = build(config, len(vocabulary)).eval()
    with torch.no_grad():
        for module in model.modules():
            _enliven(module, liveliness)
        _draw_codes(model)
        if config.weights is Weights.FP16:
            for parameter in model.parameters():
                parameter.copy_(parameter.half().float())
    return Checkpoint(model, vocabulary, Provenance("finetune", "ab" * 32))


def int8(config: TransformerConfig, characters: int = 30) -> Checkpoint:
    """The same, as the int8 stage leaves it."""
    made = recogniser(replace(config, weights=Weights.FP32), characters)
    done = with_int8_weights(prepared(made.model), {})
    return Checkpoint(done.model.eval(), made.vocabulary, made.provenance, done.packed)


def untrained(config: TransformerConfig, seed: int = 0) -> Transformer:
    """As training starts from, of `CHARACTERS`; its answers change from image to image."""
    if config.batch_norm is BatchNorm.FOLDED:
        live = untrained(replace(config, batch_norm=BatchNorm.LIVE), seed)
        return transformer(with_folded_batch_norm(live))
    torch.manual_seed(seed)
    model = transformer(build(config, len(CHARACTERS)))
    with torch.no_grad():
        _use_the_statistics_of(model, torch.from_numpy(pictures(16, config, seed + 1)))
        for name, parameter in model.decoder.named_parameters():
            if "cross_attention." in name and parameter.dim() == 2:
                parameter.mul_(5)  # look at the image rather than at the last character
        _draw_codes(model)
    return model.eval()


def transformer(model: nn.Module) -> Transformer:
    """A recogniser as what it is, for tests that look inside of it."""
    assert isinstance(model, Transformer)
    return model


def pictures(count: int, config: TransformerConfig, seed: int = 3) -> NDArray[np.uint8]:
    """Coarse random blocks, [N, H, W, 3], so that images differ where a backbone looks."""
    size = config.preprocessing
    random = np.random.default_rng(seed)
    cells = random.integers(0, 256, (count, size.height // 8, size.width // 4, 3), np.uint8)
    return cells.repeat(8, 1).repeat(4, 2)


def noise(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """`pictures` of 48x160 pixels."""
    return pictures(count, SOFTMAX, seed)


def _draw_codes(model: nn.Module) -> None:
    for name, buffer in model.named_buffers():
        if name == "codebook":
            buffer.copy_(torch.randint(0, 256, buffer.shape, dtype=torch.uint8))


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


def _use_the_statistics_of(model: Transformer, images: torch.Tensor) -> None:
    """Give batch normalisation the images' own statistics, as training would."""
    norms = [m for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    model.encode(images)
    for norm in norms:
        norm.momentum = 0.1
