"""Dense ("fused") pose networks: plain residual 3x3 convolutions that ONNX Runtime runs at the peak per MAC.

The spatial network is an encoder of four stages (strides 4, 8, 16, 32) and a top-down head that adds lateral 1x1
convolutions and nearest up-sampling back to stride 4. With a :class:`Fusion` it becomes a T-ViPNet: the warped heatmaps
of the last frame go through a 1x1 convolution, are resized to a stage and are fused there (ViPNAS, Xu et al. 2021,
section 3.3; the paper's bilinear resize is an average pooling by 2, 4 or 8 here, which is its anti-aliased form).

Heatmaps are positional probabilities, not regressed Gaussians: the last convolution gives logits, a softmax over
positions makes a distribution, and the factor 2 pi sigma^2 gives a sure joint a peak of about 1. It learns from the first
step where mean squared error needs thousands, and a spread or split map has a low peak by itself.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FusedArch", "FusedPoseNet", "Fusion", "scaled_softmax"]

Operator = Literal["add", "mul", "cat"]


@dataclass(frozen=True)
class Fusion:
    """Where and how a T-ViPNet takes in the heatmaps: stage 1..4 (F1..F4 of the paper) and add, mul or cat."""

    stage: int = 1
    operator: Operator = "add"

    def __post_init__(self) -> None:
        if self.stage not in (1, 2, 3, 4) or self.operator not in ("add", "mul", "cat"):
            raise ValueError(f"fusion {self.operator!r} at stage {self.stage}: want add|mul|cat at 1..4")


@dataclass(frozen=True)
class FusedArch:
    """A frozen description of one network; ``to_json`` and ``from_json`` are inverse.

    Attributes:
        stem: channels after the first convolution (stride 2).
        widths: channels of the four stages (strides 4, 8, 16, 32).
        depths: residual blocks of each stage after its strided convolution.
        head: channels of the top-down head at strides 32, 16, 8; half of them at stride 4.
        joints: heatmaps.
        fusion: None for a spatial network.
    """

    stem: int = 24
    widths: tuple[int, int, int, int] = (32, 64, 128, 192)
    depths: tuple[int, int, int, int] = (1, 2, 2, 2)
    head: int = 64
    joints: int = 17
    fusion: Fusion | None = None

    def to_json(self) -> dict[str, Any]:
        return {"family": "fused", **asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FusedArch:
        """Rebuild a description; raises ValueError for another family."""
        if data.get("family") != "fused":
            raise ValueError(f"architecture family {data.get('family')!r}: want 'fused'")
        fields = {k: v for k, v in data.items() if k != "family"}
        fields["widths"], fields["depths"] = tuple(fields["widths"]), tuple(fields["depths"])
        if fields.get("fusion") is not None:
            fields["fusion"] = Fusion(**fields["fusion"])
        return cls(**fields)


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Convolution without bias, batch norm and, if asked, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with an identity shortcut (He et al. 2016); the last batch norm starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = conv_bn(width, width)
        self.conv2 = conv_bn(width, width, relu=False)
        last = self.conv2[1]
        assert isinstance(last, nn.BatchNorm2d)
        nn.init.zeros_(last.weight)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.conv2(self.conv1(x)))


class HeatmapFusion(nn.Module):
    """Fuses warped heatmaps [N, K, h, w] into features [N, C, h / r, w / r]; output has the shape of the features."""

    def __init__(self, joints: int, width: int, ratio: int, operator: Operator) -> None:
        super().__init__()
        self.operator = operator
        self.project = conv_bn(joints, width, 1, relu=False)
        self.pool = nn.AvgPool2d(ratio) if ratio > 1 else nn.Identity()
        self.merge = conv_bn(2 * width if operator == "cat" else width, width, 1)

    def forward(self, features: Tensor, heatmaps: Tensor) -> Tensor:
        prior = self.project(self.pool(heatmaps))
        if self.operator == "add":
            fused = features + prior
        elif self.operator == "mul":
            fused = features * torch.sigmoid(prior)
        else:
            fused = torch.cat([features, prior], 1)
        out: Tensor = self.merge(fused)
        return out


class FusedPoseNet(nn.Module):
    """Crops (and heatmaps, where ``arch.fusion`` is set) to logits [N, K, H / 4, W / 4].

    Input crops are normalised float [N, 3, H, W], H and W multiples of 32.
    """

    def __init__(self, arch: FusedArch) -> None:
        super().__init__()
        self.arch = arch
        self.stem = conv_bn(3, arch.stem, 3, 2)
        self.stages = nn.ModuleList()
        inputs = arch.stem
        for width, depth in zip(arch.widths, arch.depths, strict=True):
            blocks = [conv_bn(inputs, width, 3, 2), *(BasicBlock(width) for _ in range(depth))]
            self.stages.append(nn.Sequential(*blocks))
            inputs = width
        if arch.fusion is not None:
            stage = arch.fusion.stage
            self.fusion = HeatmapFusion(arch.joints, arch.widths[stage - 1], 2 ** (stage - 1), arch.fusion.operator)
        head = (arch.head // 2, arch.head, arch.head, arch.head)
        self.laterals = nn.ModuleList(conv_bn(w, h, 1, relu=False) for w, h in zip(arch.widths, head, strict=True))
        self.smooth = nn.ModuleList(
            [conv_bn(h, h) for h in head[:3]] + [nn.Identity()]
        )
        self.narrow = conv_bn(arch.head, arch.head // 2, 1, relu=False)
        self.final = nn.Conv2d(arch.head // 2, arch.joints, 1)
        nn.init.normal_(self.final.weight, std=0.01)

    def forward(self, image: Tensor, heatmaps: Tensor | None = None) -> Tensor:
        x = self.stem(image)
        features = []
        for number, stage in enumerate(self.stages, 1):
            x = stage(x)
            if self.arch.fusion is not None and number == self.arch.fusion.stage:
                if heatmaps is None:
                    raise ValueError("a temporal network needs the heatmaps of the last frame")
                x = self.fusion(x, heatmaps)
            features.append(x)
        top = functional.relu(self.laterals[3](features[3]))
        for level in (2, 1, 0):
            # The 1x1 convolution comes before the up-sampling: the same map for a quarter of the MACs.
            coarse = self.narrow(top) if level == 0 else top
            up = functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
            top = self.smooth[level](functional.relu(self.laterals[level](features[level]) + up))
        logits: Tensor = self.final(top)
        return logits


def scaled_softmax(logits: Tensor, sigma: float) -> Tensor:
    """Logits [N, K, h, w] to heatmaps of the same shape: softmax over positions times 2 pi sigma^2, in [0, about 1]."""
    n, k, h, w = logits.shape
    probability = torch.softmax(logits.reshape(n, k, h * w), -1)
    return (probability * (2 * math.pi * sigma**2)).reshape(n, k, h, w)
