"""The baseline backbone: Master's ResNet31 with multi-aspect global context."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hcompress.recognisers.backbones.layers import Backbone, ConvNorm

BLOCKS = (1, 2, 5, 3)
CHANNELS = (256, 256, 512, 512)
# Rows and columns are halved before stages 1 and 2, rows alone before stage 3: 48x160 -> 6x40.
POOLS: tuple[tuple[int, int] | None, ...] = ((2, 2), (2, 2), (2, 1), None)
ASPECTS = 8
RATIO = 16


class GlobalContext(nn.Module):
    """Multi-aspect global context, fused by adding to each channel. [N, C, H, W], same out.

    The channels are cut into aspects; each aspect pools the image with an attention of its own.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.per_aspect = channels // ASPECTS
        self.mask = nn.Conv2d(self.per_aspect, 1, 1)
        hidden = max(1, channels // RATIO)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.norm = nn.LayerNorm([hidden, 1, 1])
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        aspects = x.reshape(count * ASPECTS, self.per_aspect, height, width)
        weights = torch.softmax(self.mask(aspects).flatten(2) / self.per_aspect**0.5, dim=-1)
        pooled = (aspects.flatten(2) * weights).sum(-1)
        context = pooled.reshape(count, channels, 1, 1)
        added: Tensor = self.expand(torch.relu(self.norm(self.squeeze(context))))
        return x + added


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and, at a stage's end, global context; then the shortcut.

    Or the shortcut first, if ``context_last``.
    """

    def __init__(
        self, inputs: int, outputs: int, *, context: bool, context_last: bool, folded: bool
    ) -> None:
        super().__init__()
        self.context_last = context_last
        self.first = ConvNorm(inputs, outputs, 3, activation=nn.ReLU(inplace=True), folded=folded)
        self.second = ConvNorm(outputs, outputs, 3, folded=folded)
        self.context: nn.Module = GlobalContext(outputs) if context else nn.Identity()
        self.shortcut: nn.Module = (
            ConvNorm(inputs, outputs, 1, folded=folded) if inputs != outputs else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x))
        if self.context_last:
            return self.context(torch.relu_(y + self.shortcut(x)))  # type: ignore[no-any-return]
        return torch.relu_(self.context(y) + self.shortcut(x))


class ResNet31(Backbone):
    """[N, 3, H, W] -> [N, d, H/8, W/4]."""

    def __init__(
        self,
        outputs: int,
        scale: float,
        *,
        folded: bool,
        context_last: bool = False,
        linear_stem: bool = False,
    ) -> None:
        super().__init__()

        def scaled(channels: int) -> int:
            return max(ASPECTS, round(channels * scale / ASPECTS) * ASPECTS)

        channels = scaled(128)
        layers: list[nn.Module] = [
            ConvNorm(3, scaled(64), 3, activation=nn.ReLU(inplace=True), folded=folded),
            ConvNorm(
                scaled(64),
                channels,
                3,
                activation=None if linear_stem else nn.ReLU(inplace=True),
                folded=folded,
            ),
        ]
        for stage, (count, width, pool) in enumerate(zip(BLOCKS, CHANNELS, POOLS, strict=True)):
            if pool is not None:
                layers.append(nn.MaxPool2d(pool, pool))
            for index in range(count):
                block = ResidualBlock(
                    channels,
                    scaled(width),
                    context=index == count - 1,
                    context_last=context_last,
                    folded=folded,
                )
                layers.append(block)
                channels = scaled(width)
            after = outputs if stage == len(BLOCKS) - 1 else channels
            layers.append(
                ConvNorm(channels, after, 3, activation=nn.ReLU(inplace=True), folded=folded)
            )
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x)
        return features

    def path(self) -> list[str]:
        """Names of the modules an image passes, first to last; pooling, which learns nothing, is
        none of them."""
        return [
            f"layers.{index}"
            for index, layer in enumerate(self.layers)
            if not isinstance(layer, nn.MaxPool2d)
        ]
