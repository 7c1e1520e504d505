"""Images of any width to a row of columns: one of our backbones, its rows made one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hcompress.recognisers.backbones.layers import Backbone, ConvNorm
from hcompress.recognisers.backbones.mobilenet import MobileNetV2
from hcompress.recognisers.backbones.resnet31 import ResNet31
from hcompress.spec.config import Backbone as Kind
from hcompress.spec.config import BatchNorm
from hcompress.spec.ctc import CtcConfig

GRID_PITCH = 4
"""Pixels from column to column of a backbone's output."""


class Columns(Backbone):
    """[N, 3, H, W] -> [N, d, 1, W/pitch]."""

    def __init__(self, config: CtcConfig) -> None:
        super().__init__()
        folded, width = config.batch_norm is BatchNorm.FOLDED, config.width
        stride, rows = config.pitch // GRID_PITCH, config.preprocessing.height // 8
        self.grid: MobileNetV2 | ResNet31
        if config.backbone is Kind.MOBILENET_V2:
            # Half the rows, and columns a pitch apart, before the stage that takes most time.
            late = 2, stride
            self.grid = MobileNetV2(width, config.backbone_width, folded=folded, late=late)
            stride, rows = 1, rows // 2
        else:
            self.grid = ResNet31(width, config.backbone_width, folded=folded)
        # Of its rows each feature keeps what it weighs them by: all rows of all features, a
        # product of its own, would be as many weights as the rest of the backbone.
        self.pool = ConvNorm(
            width,
            width,
            (rows, 3),
            (1, stride),
            groups=width,
            activation=nn.ReLU6(inplace=True),
            folded=folded,
        )
        self.mix = ConvNorm(width, width, 1, folded=folded)

    def path(self) -> list[str]:
        return [*(f"grid.{name}" for name in self.grid.path()), "pool", "mix"]

    def forward(self, x: Tensor) -> Tensor:
        columns: Tensor = self.mix(self.pool(torch.relu(self.grid(x))))
        return columns
