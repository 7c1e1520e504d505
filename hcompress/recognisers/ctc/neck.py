"""Self-attention over the columns of a line, in fewer features than they have.

N lines, T columns, d = width, n = the neck's own.
"""

from __future__ import annotations

from torch import Tensor, nn

from hcompress.recognisers.attention import Attention
from hcompress.recognisers.transformer.decoder import FeedForward
from hcompress.spec.ctc import CtcConfig


class Block(nn.Module):
    """Pre-normalised self-attention and a feed-forward network. [N, T, n], same out."""

    def __init__(self, config: CtcConfig) -> None:
        super().__init__()
        width = config.neck_width
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, config.heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, config.ffn_width)

    def forward(self, x: Tensor) -> Tensor:
        normal = self.attention_norm(x)
        x = x + self.attention(normal, *self.attention.keys_values(normal), None)
        fed: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return fed


class Neck(nn.Module):
    """What the columns of a line say to each other, added to them. [N, T, d], same out.

    There are no positions in it: they would have an end, and lines have none.
    """

    def __init__(self, config: CtcConfig) -> None:
        super().__init__()
        self.narrow = nn.Linear(config.width, config.neck_width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.neck))
        self.norm = nn.LayerNorm(config.neck_width)
        self.widen = nn.Linear(config.neck_width, config.width)

    def forward(self, columns: Tensor) -> Tensor:
        x = self.narrow(columns)
        for block in self.blocks:
            x = block(x)
        said: Tensor = self.widen(self.norm(x))
        return columns + said
