"""The transformer decoder, full or slim (Eq. 8a-8c of the paper).

Residual sub-layers, each of which normalises what it is given, or else its sum. With shared
layers one layer's weights exist and every layer runs them; its cross-attention keys and values
are then the same for all layers and are computed once. N lines, T steps, L = memory positions,
d = width, H = heads, D = depth, U = stored layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hcompress.recognisers.attention import (
    Attention,
    Cross,
    Narrow,
    NarrowCross,
    sinusoid,
)
from hcompress.spec.config import TransformerConfig


class FeedForward(nn.Module):
    """Eq. 8c: d -> f -> d with a ReLU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.contract(torch.relu(self.expand(x)))
        return y


class DecoderLayer(nn.Module):
    """Masked self-attention, cross-attention and, unless slim, a feed-forward network."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.width
        self.post_norm = config.post_norm
        self.self_attention_norm = nn.LayerNorm(width)
        self.self_attention = Attention(width, config.heads)
        self.cross_attention_norm = nn.LayerNorm(width)
        self.cross_attention = Attention(width, config.heads)
        self.has_ffn = config.ffn
        if config.ffn:
            self.feed_forward_norm = nn.LayerNorm(width)
            self.feed_forward = FeedForward(width, config.ffn_width)

    def given(self, norm: nn.Module, x: Tensor) -> Tensor:
        """What a sub-layer is given."""
        normal: Tensor = x if self.post_norm else norm(x)
        return normal

    def added(self, norm: nn.Module, x: Tensor, change: Tensor) -> Tensor:
        """What comes after a sub-layer."""
        total = x + change
        normal: Tensor = norm(total) if self.post_norm else total
        return normal

    def after_self_attention(self, x: Tensor, cross: Cross, *, ffn: bool = True) -> Tensor:
        """The rest of the layer, once self-attention has been added. [N, T, d], same out."""
        normal = self.given(self.cross_attention_norm, x)
        if isinstance(cross, NarrowCross):
            change = self.cross_attention.gather(normal, cross)
        else:
            change = self.cross_attention(normal, *cross, None)
        x = self.added(self.cross_attention_norm, x, change)
        if self.has_ffn and ffn:
            change = self.feed_forward(self.given(self.feed_forward_norm, x))
            x = self.added(self.feed_forward_norm, x, change)
        return x

    def forward(self, x: Tensor, mask: Tensor, cross: Cross, *, ffn: bool = True) -> Tensor:
        """All T steps at once (training). ``ffn`` False passes the feed-forward network by."""
        normal = self.given(self.self_attention_norm, x)
        keys, values = self.self_attention.keys_values(normal)
        change = self.self_attention(normal, keys, values, mask)
        x = self.added(self.self_attention_norm, x, change)
        return self.after_self_attention(x, cross, ffn=ffn)

    def step(
        self,
        x: Tensor,
        here: Tensor,
        mask: Tensor,
        keys: Tensor,
        values: Tensor,
        cross_keys: Tensor,
        cross_values: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step with a key/value cache of fixed length T.

        x [N, 1, d]; here [T, 1], true at this step's place; mask [1, T]; keys, values
        [N, H, T, d/H]. Returns the step's output and the two caches with this step written in.
        """
        normal = self.given(self.self_attention_norm, x)
        key, value = self.self_attention.keys_values(normal)
        keys = torch.where(here, key, keys)
        values = torch.where(here, value, values)
        change = self.self_attention(normal, keys, values, mask)
        x = self.added(self.self_attention_norm, x, change)
        return self.after_self_attention(x, (cross_keys, cross_values)), keys, values


@dataclass(frozen=True)
class Route:
    """A way through the decoder other than its own: one entry for each of the D layers."""

    layers: tuple[int, ...]
    """Whose weights run there."""
    ffn: tuple[bool, ...]
    """Whether that layer's feed-forward network does."""


class Decoder(nn.Module):
    """D layers and, unless they end in one, a normalisation: character vectors and memory to
    features h."""

    steps: Tensor
    positions: Tensor
    mask: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.depth = config.depth
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.stored_layers))
        self.norm = nn.Identity() if config.post_norm else nn.LayerNorm(config.width)
        for table in ("positions", "steps", "mask"):
            self.register_buffer(table, None, persistent=False)

    def fill_tables(self, config: TransformerConfig) -> None:
        """Positions [T, d]; the steps 0, 1, ... as a column [T, 1], and what hides later ones
        [T, T]."""
        length = config.max_steps
        self.positions = sinusoid(length, config.width)
        self.steps = torch.arange(length)[:, None]
        self.mask = torch.full((length, length), float("-inf")).triu(1)

    def layer(self, index: int) -> DecoderLayer:
        stored = self.layers[index if len(self.layers) > 1 else 0]
        assert isinstance(stored, DecoderLayer)
        return stored

    def cross_keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """memory [N, L, d] -> keys and values [U, N, H, L, d/H], the same for every step."""
        attentions = [self.layer(i).cross_attention for i in range(len(self.layers))]
        pairs = [attention.keys_values(memory) for attention in attentions]
        return torch.stack([k for k, _ in pairs]), torch.stack([v for _, v in pairs])

    def forward(self, characters: Tensor, memory: Tensor) -> Tensor:
        """characters [N, T, d] (BOS first), memory [N, L, d] -> features h [N, T, d]."""
        return self.states(characters, memory)[-1]

    def states(self, characters: Tensor, memory: Tensor | Narrow) -> list[Tensor]:
        """What each of the D layers puts out, [N, T, d]; the last one's, normalised, is h."""
        return self.run(characters, self.cross(memory))

    def cross(self, memory: Tensor | Narrow) -> list[Cross]:
        """memory [N, L, d] -> what cross-attention needs of it, for each of the U layers."""
        attentions = [self.layer(i).cross_attention for i in range(len(self.layers))]
        if isinstance(memory, Narrow):
            return [attention.narrow_cross(memory) for attention in attentions]
        return [attention.keys_values(memory) for attention in attentions]

    def run(
        self, characters: Tensor, cross: list[Cross], route: Route | None = None
    ) -> list[Tensor]:
        """`states`, of a memory seen by `cross`, along ``route`` where one is given."""
        length = characters.shape[1]
        x = characters + self.positions[:length]
        mask = self.mask[:length, :length]
        layers = range(self.depth) if route is None else route.layers
        ffn = (True,) * self.depth if route is None else route.ffn
        states = []
        for index, fed in zip(layers, ffn, strict=True):
            x = self.layer(index)(x, mask, cross[index if len(cross) > 1 else 0], ffn=fed)
            states.append(x)
        return [*states[:-1], self.norm(states[-1])]

    def step(
        self,
        characters: Tensor,
        position: Tensor,
        keys: Tensor,
        values: Tensor,
        cross_keys: Tensor,
        cross_values: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One greedy step.

        characters [N, d], position [] (int64), keys and values [D, N, H, T, d/H], cross ones
        [U, N, H, L, d/H] -> features h [N, d] and the two caches with this step written in.
        """
        here = self.steps == position
        x = (characters + nn.functional.embedding(position, self.positions))[:, None]
        mask = torch.zeros_like(self.mask[:1]).masked_fill(
            (self.steps > position).transpose(0, 1), float("-inf")
        )
        new_keys, new_values = [], []
        for index in range(self.depth):
            stored = index if len(self.layers) > 1 else 0
            x, key, value = self.layer(index).step(
                x, here, mask, keys[index], values[index], cross_keys[stored], cross_values[stored]
            )
            new_keys.append(key)
            new_values.append(value)
        return self.norm(x)[:, 0], torch.stack(new_keys), torch.stack(new_values)
