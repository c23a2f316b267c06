"""Dense ("fused") pose networks: plain residual 3x3 convolutions that ONNX Runtime runs at the peak per MAC.

An encoder of four stages (strides 4, 8, 16, 32) under a top-down head.

The output is logits: a softmax over positions makes a distribution, and the factor 2 pi sigma^2 gives a sure joint a
peak of about 1. It learns from the first step where mean squared error needs thousands, and a spread or split map has
a low peak by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from vipose.models.networks.architecture import Architecture, Output
from vipose.models.networks.base import conv_bn
from vipose.models.networks.top_down import TopDownPoseNet

__all__ = ["FusedArch", "FusedPoseNet"]


@dataclass(frozen=True, kw_only=True)
class FusedArch(Architecture):
    """A frozen description of one network.

    Attributes:
        stem: channels after the first convolution (stride 2).
        widths: channels of the four stages (strides 4, 8, 16, 32).
        depths: residual blocks of each stage after its strided convolution.
        head: channels of the top-down head at strides 32, 16, 8; half of them at stride 4.
    """

    family = "fused"

    stem: int = 24
    widths: tuple[int, int, int, int] = (32, 64, 128, 192)
    depths: tuple[int, int, int, int] = (1, 2, 2, 2)
    head: int = 64
    output: Output = "logits"


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


class FusedPoseNet(TopDownPoseNet):
    """Crops (and heatmaps, where ``arch.fusion`` is set) to logits [N, K, H / 4, W / 4]."""

    arch: FusedArch

    def __init__(self, arch: FusedArch) -> None:
        super().__init__(arch)
        self.stem = conv_bn(3, arch.stem, 3, 2)
        stages = []
        for inputs, width, depth in zip((arch.stem, *arch.widths), arch.widths, arch.depths, strict=False):
            stages.append(nn.Sequential(conv_bn(inputs, width, 3, 2), *(BasicBlock(width) for _ in range(depth))))
        self.stages = nn.ModuleList(stages)
        self.add_head(arch.widths, arch.head)

    def parts(self) -> list[tuple[str, nn.Module]]:
        blocks = [(f"stages.{s}.{name}", m) for s, stage in enumerate(self.stages) for name, m in stage.named_children()]
        return [("stem", self.stem), *blocks, *self.head_parts()]

    def forward(self, image: Tensor, previous: Tensor | None = None) -> Tensor:
        x = self.stem(image)
        features = []
        for number, stage in enumerate(self.stages, 1):
            x = self.fuse(number, stage(x), previous)
            features.append(x)
        return self.top_down(features)
