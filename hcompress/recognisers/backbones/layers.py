"""Convolution with batch normalisation, the one brick of both backbones, and folding it."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn


class Backbone(nn.Module):
    """Images to features, block after block."""

    @abstractmethod
    def path(self) -> list[str]:
        """Names of the modules an image passes, first to last; pooling, which learns nothing, is
        none of them."""


class Normalise(nn.BatchNorm2d):
    """Batch normalisation that keeps no count of batches: the momentum is fixed."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.num_batches_tracked = None

    def _load_from_state_dict(self, *args: Any) -> None:
        # BatchNorm2d's own would add the count it misses to every state it is given.
        nn.Module._load_from_state_dict(self, *args)


class ConvNorm(nn.Module):
    """Convolution, batch normalisation, optional activation. [N, C, H, W] -> [N, C', H', W']."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        *,
        groups: int = 1,
        activation: nn.Module | None = None,
        folded: bool = False,
    ) -> None:
        super().__init__()
        # Half a kernel all round; rows that a kernel takes whole are not padded.
        padding = kernel // 2 if isinstance(kernel, int) else (0, kernel[1] // 2)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=folded)
        self.norm: nn.Module = nn.Identity() if folded else Normalise(outputs)
        self.activation = activation if activation is not None else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.conv(x)))  # type: ignore[no-any-return]

    def folded_weights(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution that equals both, in float64 until the end."""
        norm = self.norm
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None:
            raise TypeError("nothing to fold")
        assert norm.running_var is not None
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        weight = self.conv.weight.double() * scale[:, None, None, None]
        bias = norm.bias.double() - norm.running_mean.double() * scale
        return weight.float(), bias.float()
