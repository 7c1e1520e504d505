"""Small recognisers made in code, for tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from hcompress.recognisers.build import build
from hcompress.recognisers.contract import Recogniser
from hcompress.recognisers.rebuild import with_folded_batch_norm
from hcompress.spec.config import BatchNorm, RecogniserConfig, TransformerConfig
from hcompress.spec.heads import Hamming, HammingInputs
from hcompress.spec.vocabulary import Vocabulary

CHARACTERS = Vocabulary("abcdefgh0123456789漢字")

SOFTMAX = TransformerConfig(
    backbone_width=0.25, width=32, ffn_width=64, heads=4, depth=3, max_steps=9
)
HAMMING = replace(SOFTMAX, head=Hamming(64), inputs=HammingInputs(64))
SLIM = replace(HAMMING, ffn=False, shared_layers=True)
FOLDED = replace(SLIM, batch_norm=BatchNorm.FOLDED)


def recogniser(config: RecogniserConfig, seed: int = 0) -> Recogniser:
    """An untrained recogniser whose answers change from image to image."""
    if config.batch_norm is BatchNorm.FOLDED:
        live = recogniser(replace(config, batch_norm=BatchNorm.LIVE), seed)
        return with_folded_batch_norm(live)
    torch.manual_seed(seed)
    model = build(config, len(CHARACTERS))
    with torch.no_grad():
        _use_the_statistics_of(model, torch.from_numpy(noise(16, seed + 1)))
        for name, parameter in model.decoder.named_parameters():
            if "cross_attention." in name and parameter.dim() == 2:
                parameter.mul_(5)  # look at the image rather than at the last character
        if config.code_length is not None:
            shape = model.codebook.shape
            model.codebook.copy_(torch.randint(0, 256, shape, dtype=torch.uint8))
    return model.eval()


def _use_the_statistics_of(model: Recogniser, images: torch.Tensor) -> None:
    """Give batch normalisation the images' own statistics, as training would."""
    norms = [m for m in model.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    model.encode(images)
    for norm in norms:
        norm.momentum = 0.1


def noise(count: int, seed: int = 0, height: int = 48, width: int = 160) -> NDArray[np.uint8]:
    """uint8 [N, H, W, 3]: blocks of colour, so that images differ where a backbone looks."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (count, height // 8, width // 8, 3), dtype=np.uint8)
    return np.ascontiguousarray(small.repeat(8, axis=1).repeat(8, axis=2))
