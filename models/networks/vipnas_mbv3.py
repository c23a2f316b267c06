"""S-ViPNAS-MobileNetV3 exactly as published: the yardstick of every latency ratio in this project.

ViPNAS (Xu et al., CVPR 2021), table A1 space, the network released with the paper and in mmpose. State-dict keys are
those of the official checkpoints (``backbone.layer1 ... layer21``, ``head.deconv_layers``, ``head.final_layer``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["SViPNASMobileNetV3"]


@dataclass(frozen=True)
class _Stage:
    depth: int
    width: int
    hidden: int
    kernel: int
    stride: int
    groups: int
    se: bool
    hswish: bool


_STAGES = (
    _Stage(1, 16, 16, 3, 1, 8, True, False),
    _Stage(4, 24, 120, 7, 2, 120, True, False),
    _Stage(4, 40, 160, 7, 2, 20, False, False),
    _Stage(4, 80, 400, 5, 2, 100, True, True),
    _Stage(4, 112, 560, 7, 1, 280, True, True),
    _Stage(4, 160, 960, 5, 2, 240, True, True),
)


class _ConvBN(nn.Module):
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


class _BiasedConv(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class _SE(nn.Module):
    """Squeeze and excitation with the older hard sigmoid, clamp((x + 1) / 2, 0, 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _BiasedConv(width, width // 4), _BiasedConv(width // 4, width)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.conv2(torch.relu(self.conv1(x.mean((2, 3), keepdim=True))))
        return x * ((gate + 1) / 2).clamp(0, 1)


class _Block(nn.Module):
    def __init__(self, inputs: int, stage: _Stage, stride: int, expand: bool) -> None:
        super().__init__()
        act: nn.Module = nn.Hardswish() if stage.hswish else nn.ReLU()
        self.expand_conv = _ConvBN(inputs, stage.hidden, 1, act) if expand else None
        self.depthwise_conv = _ConvBN(stage.hidden, stage.hidden, stage.kernel, act, stride, stage.groups)
        self.se = _SE(stage.hidden) if stage.se else None
        self.linear_conv = _ConvBN(stage.hidden, stage.width, 1, None)
        self.residual = stride == 1 and inputs == stage.width

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x if self.expand_conv is None else self.expand_conv(x)
        y = self.depthwise_conv(y)
        if self.se is not None:
            y = self.se(y)
        y = self.linear_conv(y)
        return x + y if self.residual else y


class _Backbone(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _ConvBN(3, 16, 3, nn.Hardswish(), 2)
        inputs, number = 16, 0
        for stage in _STAGES:
            for index in range(stage.depth):
                number += 1
                block = _Block(inputs, stage, stage.stride if index == 0 else 1, expand=number > 1)
                self.add_module(f"layer{number}", block)
                inputs = stage.width
        self.layers = number

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for number in range(1, self.layers + 1):
            x = getattr(self, f"layer{number}")(x)
        return x


class _Head(nn.Module):
    def __init__(self, width: int, joints: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(3):
            deconv = nn.ConvTranspose2d(width, width, 4, 2, 1, groups=width, bias=False)
            layers += [deconv, nn.BatchNorm2d(width), nn.ReLU()]
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = nn.Conv2d(width, joints, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.final_layer(self.deconv_layers(x))
        return out


class SViPNASMobileNetV3(nn.Module):
    """Normalised RGB crops [N, 3, 256, 192] to heatmaps [N, joints, 64, 48] (no activation on them)."""

    def __init__(self, joints: int = 17) -> None:
        super().__init__()
        self.backbone, self.head = _Backbone(), _Head(160, joints)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.backbone(x))
        return out
