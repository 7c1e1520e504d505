"""The light backbone: MobileNetV2 cut to half a million parameters.

The paper's Appendix A with the layer table was never published. This one was laid out to meet
the size the paper's Table 1 leaves for it (about 2 MiB of floats) at 1/8 x 1/4 of the input,
spending its weights where a position is one character wide.
"""

from __future__ import annotations

from torch import Tensor, nn

from hcompress.recognisers.backbones.layers import Backbone, ConvNorm

# expansion, channels, blocks, stride of the first block (rows, columns)
ROWS: tuple[tuple[int, int, int, tuple[int, int]], ...] = (
    (1, 16, 1, (1, 1)),
    (4, 24, 2, (2, 2)),
    (4, 48, 3, (2, 1)),
    (4, 72, 4, (1, 1)),
    (4, 96, 4, (1, 1)),
)
STEM = 16


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1; added to its input where the shapes agree."""

    def __init__(
        self, inputs: int, outputs: int, stride: tuple[int, int], expansion: int, *, folded: bool
    ) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.residual = stride == (1, 1) and inputs == outputs
        self.expand: nn.Module = (
            ConvNorm(inputs, hidden, 1, activation=nn.ReLU6(inplace=True), folded=folded)
            if expansion != 1
            else nn.Identity()
        )
        self.depthwise = ConvNorm(
            hidden,
            hidden,
            3,
            stride,
            groups=hidden,
            activation=nn.ReLU6(inplace=True),
            folded=folded,
        )
        self.project = ConvNorm(hidden, outputs, 1, folded=folded)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class MobileNetV2(Backbone):
    """[N, 3, H, W] -> [N, d, H/8, W/4], or as many times less as ``late``, the last stage's
    strides, says."""

    def __init__(
        self, outputs: int, scale: float, *, folded: bool, late: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()

        def scaled(channels: int) -> int:
            return max(8, round(channels * scale / 8) * 8)

        self.stem = ConvNorm(
            3, scaled(STEM), 3, 2, activation=nn.ReLU6(inplace=True), folded=folded
        )
        blocks: list[nn.Module] = []
        channels = scaled(STEM)
        for expansion, width, count, stride in (*ROWS[:-1], (*ROWS[-1][:-1], late)):
            for index in range(count):
                step = stride if index == 0 else (1, 1)
                blocks.append(
                    InvertedResidual(channels, scaled(width), step, expansion, folded=folded)
                )
                channels = scaled(width)
        self.blocks = nn.Sequential(*blocks)
        self.output = ConvNorm(channels, outputs, 1, folded=folded)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.output(self.narrow(x))
        return features

    def path(self) -> list[str]:
        """Names of the modules an image passes, first to last."""
        return ["stem", *(f"blocks.{index}" for index in range(len(self.blocks))), "output"]

    def narrow(self, x: Tensor) -> Tensor:
        """What the last convolution takes: [N, 3, H, W] -> [N, c, H/8, W/4]."""
        features: Tensor = self.blocks(self.stem(x))
        return features
