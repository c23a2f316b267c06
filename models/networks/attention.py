"""Attention at the end of a block: squeeze and excitation (MobileNetV3), global context (ResNet)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["GlobalContext", "SqueezeExcitation"]


class _BiasedConv(nn.Module):
    """A 1x1 convolution with bias under the published key ``conv``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class SqueezeExcitation(nn.Module):
    """Channels [N, C, h, w] weighted by a gate from their means (Hu et al. 2018), a quarter of C hidden.

    The gate is the older hard sigmoid, clamp((x + 1) / 2, 0, 1), that the published ViPNAS weights were trained with.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _BiasedConv(width, width // 4), _BiasedConv(width // 4, width)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.conv2(torch.relu(self.conv1(functional.adaptive_avg_pool2d(x, 1))))
        return x * ((gate + 1) / 2).clamp(0, 1)


class GlobalContext(nn.Module):
    """Adds one context vector to every position of [N, C, h, w] (Cao et al. 2019): attention pooling, additive fusion.

    A softmax over all positions weights the features into the vector; two 1x1 convolutions with a layer norm between
    them transform it. Hidden: C / 16, at least 16, as published.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = max(width // 16, 16)
        self.conv_mask = nn.Conv2d(width, 1, 1)
        self.channel_add_conv = nn.Sequential(
            nn.Conv2d(width, hidden, 1), nn.LayerNorm([hidden, 1, 1]), nn.ReLU(), nn.Conv2d(hidden, width, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        scores = torch.softmax(self.conv_mask(x).flatten(2), -1)
        context = torch.matmul(x.flatten(2), scores.transpose(1, 2)).unsqueeze(-1)
        out: Tensor = x + self.channel_add_conv(context)
        return out
