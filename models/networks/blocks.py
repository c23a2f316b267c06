"""Convolution, batch norm and activation under the names that published checkpoints use."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["ConvBN", "activation"]


def activation(hswish: bool) -> nn.Module:
    """HSwish, x * clamp(x + 3, 0, 6) / 6, or ReLU."""
    return nn.Hardswish() if hswish else nn.ReLU()


class ConvBN(nn.Module):
    """Convolution without bias, padded by half a kernel, batch norm, activation: keys ``conv.weight`` and ``bn.*``."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, act: nn.Module | None, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn(self.conv(x))
        return out if self.act is None else self.act(out)
