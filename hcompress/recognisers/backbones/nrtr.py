"""OpenOCR's NRTR: two convolutions, then layers of attention over the image's columns.

N lines, d = width, L = W/4 columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hcompress.recognisers.attention import Attention, sinusoid
from hcompress.recognisers.backbones.layers import Backbone

HIDDEN = 4
"""Times d: hidden features of a layer's feed-forward network."""


class Affine(nn.Module):
    """Each channel times a weight, plus a bias: a batch normalisation whose statistics are fixed.

    It comes after the ReLU, so that no convolution can take it in.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W], same out."""
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class Halving(nn.Module):
    """A convolution that halves both sides, ReLU, and `Affine`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, 2, 1)
        self.scale = Affine(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.scale(torch.relu(self.conv(x)))
        return y


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each sum normalised afterwards."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.attention_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, HIDDEN * width)
        self.contract = nn.Linear(HIDDEN * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, L, d], same out."""
        keys, values = self.attention.keys_values(x)
        x = self.attention_norm(x + self.attention(x, keys, values, None))
        y: Tensor = self.norm(x + self.contract(torch.relu(self.expand(x))))
        return y


class Nrtr(Backbone):
    """[N, 3, H, W] -> [N, d, 1, W/4]; a column's channels are d, the whole height among them."""

    def __init__(self, width: int, height: int, heads: int, depth: int) -> None:
        super().__init__()
        channels = width // (height // 4)
        self.width = width
        self.first = Halving(3, channels // 2)
        self.second = Halving(channels // 2, channels)
        self.layers = nn.ModuleList(EncoderLayer(width, heads) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x))
        y = y.permute(0, 3, 2, 1).flatten(2)  # [N, L, (row, channel)]
        y = y + sinusoid(y.shape[1], self.width).to(y)
        for layer in self.layers:
            y = layer(y)
        return y.transpose(1, 2)[:, :, None]

    def path(self) -> list[str]:
        """Names of the modules an image passes, first to last."""
        return ["first", "second", *(f"layers.{index}" for index in range(len(self.layers)))]
