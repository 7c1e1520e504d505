"""Attention with H heads, over a memory or over what a narrower one stands for.

N lines, T steps, L = memory positions, d = width, c = width of a narrow memory, H = heads.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Narrow(NamedTuple):
    """Memory before a linear map with fewer inputs: rows @ weight^T + offset, c < d."""

    rows: Tensor
    """[N, L, c]."""
    weight: Tensor
    """[d, c]."""
    offset: Tensor
    """[L, d]."""

    def memory(self) -> Tensor:
        """[N, L, d]."""
        return self.rows @ self.weight.T + self.offset


class NarrowCross(NamedTuple):
    """What cross-attention needs of a `Narrow` memory: keys are rows @ key^T + key_offset.

    Queries are taken to the rows instead of the rows to keys, and what attention gathers from
    the rows to values afterwards: T steps have far fewer products to make than L positions.
    """

    rows: Tensor
    """[N, L, c]."""
    key: Tensor
    """[H, d/H, c]."""
    value: Tensor
    """[H, d/H, c]."""
    key_offset: Tensor
    """[H, L, d/H]."""
    value_offset: Tensor
    """[H, L, d/H]."""


Cross = tuple[Tensor, Tensor] | NarrowCross
"""A layer's cross-attention keys and values, each [N, H, L, d/H], or what stands for them."""


class Attention(nn.Module):
    """Scaled dot-product attention with H heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    @torch.no_grad()
    def hand_on(self, gain: float, centre: Tensor) -> None:
        """Put out ``gain`` times what is attended to, seen from ``centre`` [d].

        By way of value and output weights that are each other's inverse, made from the values' own
        first ones.
        """
        turned = torch.linalg.qr(self.value.weight)[0]
        self.value.weight.copy_(turned)
        self.value.bias.copy_(-turned @ centre)
        self.output.weight.copy_(gain * turned.T)
        self.output.bias.zero_()

    def split(self, x: Tensor) -> Tensor:
        """[N, T, d] -> [N, H, T, d/H]."""
        count, steps, width = x.shape
        return x.reshape(count, steps, self.heads, width // self.heads).transpose(1, 2)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N, T, d] -> keys and values, each [N, H, T, d/H]."""
        return self.split(self.key(x)), self.split(self.value(x))

    def narrow_cross(self, memory: Narrow) -> NarrowCross:
        """`keys_values` of ``memory.memory()``, neither of which is computed."""
        heads, places = self.heads, len(memory.offset)
        maps, offsets = [], []
        for linear in (self.key, self.value):
            maps.append((linear.weight @ memory.weight).reshape(heads, -1, memory.rows.shape[-1]))
            offsets.append(linear(memory.offset).reshape(places, heads, -1).transpose(0, 1))
        return NarrowCross(memory.rows, *maps, *offsets)

    def gather(self, x: Tensor, cross: NarrowCross) -> Tensor:
        """`forward` over a narrow memory: the same sums in another order. x [N, T, d]."""
        queries = self.split(self.query(x))  # [N, H, T, d/H]
        count, heads, steps, size = queries.shape
        queries = queries * size**-0.5
        near = (queries @ cross.key).flatten(1, 2)  # [N, H*T, c]
        scores = (near @ cross.rows.transpose(1, 2)).view(count, heads, steps, -1)
        by_head = queries.transpose(0, 1).flatten(1, 2)  # [H, N*T, d/H]
        offset = by_head @ cross.key_offset.transpose(1, 2)  # [H, N*T, L]
        scores = scores + offset.view(heads, count, steps, -1).transpose(0, 1)
        shares = torch.softmax(scores, -1)  # [N, H, T, L]
        seen = (shares.flatten(1, 2) @ cross.rows).view(count, heads, steps, -1)  # [N, H, T, c]
        offset = shares.transpose(0, 1).flatten(1, 2) @ cross.value_offset  # [H, N*T, d/H]
        offset = offset.view(heads, count, steps, -1).transpose(0, 1)
        mixed = seen @ cross.value.transpose(1, 2) + offset  # [N, H, T, d/H]
        mixed_back: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return mixed_back

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """x [N, T, d] attends to keys, values [N, H, S, d/H]; mask [T, S] or [1, S] is added."""
        queries = self.split(self.query(x))
        mixed = _mixed(queries, keys, values, mask)
        mixed_back: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return mixed_back


def _mixed(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    """Values by attention: [N, H, T, d/H] of queries, [N, H, S, d/H] of keys and values.

    In bf16 the CPU's fused kernel takes three times as long backwards as its parts do one by one.
    """
    if queries.dtype is not torch.bfloat16 or queries.device.type != "cpu":
        return nn.functional.scaled_dot_product_attention(queries, keys, values, mask)
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    scores = scores if mask is None else scores + mask.to(scores.dtype)
    return torch.softmax(scores, -1) @ values


def sinusoid(length: int, width: int) -> Tensor:
    """Sinusoidal positions [length, width] (Vaswani et al. 2017)."""
    place = torch.arange(length, dtype=torch.float64)[:, None]
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(1e4) / width))
    table = torch.zeros(length, width, dtype=torch.float64)
    table[:, 0::2] = torch.sin(place * rate)
    table[:, 1::2] = torch.cos(place * rate)
    return table.float()
