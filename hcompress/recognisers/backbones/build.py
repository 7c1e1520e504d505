"""From a configuration to its backbone."""

from __future__ import annotations

from hcompress.recognisers.backbones.layers import Backbone
from hcompress.recognisers.backbones.mobilenet import MobileNetV2
from hcompress.recognisers.backbones.nrtr import Nrtr
from hcompress.recognisers.backbones.resnet31 import ResNet31
from hcompress.spec.config import Backbone as Kind
from hcompress.spec.config import BatchNorm, TransformerConfig


def build_backbone(config: TransformerConfig) -> Backbone:
    """[N, 3, H, W] -> [N, d, rows, columns] of ``config.memory_grid``, untrained."""
    folded = config.batch_norm is BatchNorm.FOLDED
    kind, width, scale = config.backbone, config.width, config.backbone_width
    if kind is Kind.NRTR:
        return Nrtr(width, config.preprocessing.height, config.heads, config.encoder_depth)
    if kind is Kind.MOBILENET_V2:
        return MobileNetV2(width, scale, folded=folded)
    last = kind is not Kind.RESNET31
    linear = kind is Kind.MAGC_RESNET31_LINEAR
    return ResNet31(width, scale, folded=folded, context_last=last, linear_stem=linear)
