"""What every pose network has: a description, parts that can be timed alone, and keys that do not depend on depth."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from vipose.models.networks.architecture import Architecture, Operator

__all__ = ["HeatmapFusion", "PoseNetwork", "conv_bn", "scaled_softmax"]


class PoseNetwork(nn.Module, ABC):
    """Crops, and the warped heatmaps of the last frame where ``arch.fusion`` is set, to [N, K, H / 4, W / 4].

    Input crops are normalised float [N, 3, H, W] RGB, H and W multiples of 32; ``previous`` is [N, K, H / 4, W / 4].
    Outputs are heatmaps or logits, as ``arch.output`` says.
    """

    arch: Architecture

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.arch = arch
        self.fusion: HeatmapFusion | None = None

    @abstractmethod
    def forward(self, image: Tensor, previous: Tensor | None = None) -> Tensor:
        """See above."""

    def outputs(self, image: Tensor, previous: Tensor | None = None) -> list[Tensor]:
        """Everything that a training supervises, each shaped like :meth:`forward`'s answer, which comes last."""
        return [self(image, previous)]

    def fuse(self, stage: int, features: Tensor, previous: Tensor | None) -> Tensor:
        """Features of a stage, fused with the heatmaps if this is the stage that ``arch.fusion`` names."""
        if self.fusion is None or self.arch.fusion is None or stage != self.arch.fusion.stage:
            return features
        if previous is None:
            raise ValueError("a temporal network needs the heatmaps of the last frame")
        out: Tensor = self.fusion(features, previous)
        return out

    @abstractmethod
    def fusion_site(self, stage: int) -> tuple[int, int]:
        """(width, ratio) of the features that stage 1..4 fuses: channels, and heatmap cells a feature cell (1, 2, 4, 8)."""

    def set_fusion(self) -> None:
        """Add the fusion module that ``arch.fusion`` asks for; called at the end of a family's ``__init__``."""
        if self.arch.fusion is not None:
            width, ratio = self.fusion_site(self.arch.fusion.stage)
            self.fusion = HeatmapFusion(self.arch.joints, width, ratio, self.arch.fusion.operator)

    @abstractmethod
    def parts(self) -> list[tuple[str, nn.Module]]:
        """Parts that are timed alone: together they hold every convolution, and each takes one tensor (fusion: two)."""

    def canonical(self, key: str) -> str:
        """A state-dict key as it is called in a network of any depth: how sub-networks find their weights."""
        return key

    def first_convolution(self) -> nn.Conv2d:
        """The convolution that takes the image; an export folds the division by the standard deviation into it."""
        return next(m for m in self.modules() if isinstance(m, nn.Conv2d))


class HeatmapFusion(nn.Module):
    """Fuses heatmaps [N, K, h, w] into features [N, C, h / r, w / r]; the output has the shape of the features.

    A 1x1 convolution, a resize, the operator and a 1x1 convolution (ViPNAS, section 3.3). The paper's bilinear resize
    is an average pooling by r = 2, 4 or 8 here, its anti-aliased form. The last convolution starts as the identity on the
    features, so that a network which comes with trained weights goes on from them.
    """

    def __init__(self, joints: int, width: int, ratio: int, operator: Operator) -> None:
        super().__init__()
        self.operator = operator
        self.project = conv_bn(joints, width, 1, relu=False)
        self.pool = nn.AvgPool2d(ratio) if ratio > 1 else nn.Identity()
        self.merge = conv_bn(2 * width if operator == "cat" else width, width, 1)
        merge = self.merge[0]
        assert isinstance(merge, nn.Conv2d)
        if merge.weight.device.type != "meta":
            with torch.no_grad():
                merge.weight.mul_(0.1)
                merge.weight[:, :width, 0, 0] += torch.eye(width)
        # A narrower sub-network keeps the first channels of the features AND the first of the prior.
        merge.input_segments = 2 if operator == "cat" else 1  # type: ignore[assignment]

    def forward(self, features: Tensor, previous: Tensor) -> Tensor:
        prior = self.project(self.pool(previous))
        if self.operator == "add":
            fused = features + prior
        elif self.operator == "mul":
            fused = features * torch.sigmoid(prior)
        else:
            fused = torch.cat([features, prior], 1)
        out: Tensor = self.merge(fused)
        return out

    def extra_repr(self) -> str:
        return self.operator


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, relu: bool = True) -> nn.Sequential:
    """Convolution without bias, batch norm and, if asked, ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if relu:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def scaled_softmax(logits: Tensor, sigma: float) -> Tensor:
    """Logits [N, K, h, w] to heatmaps of the same shape: softmax over positions times 2 pi sigma^2, in [0, about 1]."""
    k, h, w = (int(length) for length in logits.shape[1:])  # plain numbers, so that an exported graph computes no shapes
    probability = torch.softmax(logits.reshape(-1, k, h * w), -1)
    return (probability * (2 * math.pi * sigma**2)).reshape(-1, k, h, w)
