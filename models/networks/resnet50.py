"""S-ViPNAS-Res50 and its kin: bottlenecks with grouped convolutions and global context.

ViPNAS (Xu et al., CVPR 2021), table A2. State-dict keys are those of the official checkpoints
(``backbone.layer1.0.conv1``, ``head.deconv_layers.0``).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.attention import GlobalContext
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.heads import Head, build_head

__all__ = ["S_VIPNAS_RES50", "ResNet50Arch", "ResNet50PoseNet", "ResNetStage"]


@dataclass(frozen=True, kw_only=True)
class ResNetStage:
    """One stage; all that ViPNAS chooses is chosen for all of its blocks.

    Attributes:
        depth: blocks, at least 1.
        width: channels out of every block.
        kernel, groups: of the middle convolution.
        attention: a global context block at the end of every block.
        stride: of the first block.
        expansion: the middle convolution has ``width / expansion`` channels; 1 in table A2.
    """

    depth: int
    width: int
    kernel: int
    groups: int
    attention: bool
    stride: int
    expansion: int = 1

    def __post_init__(self) -> None:
        if self.depth < 1 or self.width % self.expansion or self.middle % self.groups:
            raise ValueError(f"{self}: needs a block, and groups that divide the {self.middle} middle channels")

    @property
    def middle(self) -> int:
        """Channels of the middle convolution."""
        return self.width // self.expansion


@dataclass(frozen=True, kw_only=True)
class ResNet50Arch(Architecture):
    """A frozen description of one network.

    Attributes:
        stem: channels after the first convolution (stride 2) and max pooling (stride 2).
        stem_kernel: of the first convolution.
        stages: four, of strides 4, 8, 16, 32.
        head: from stride 32 to 4.
    """

    family = "resnet50"

    stem: int = 48
    stem_kernel: int = 7
    stages: tuple[ResNetStage, ResNetStage, ResNetStage, ResNetStage]
    head: Head

    def __post_init__(self) -> None:
        if tuple(stage.stride for stage in self.stages) != (1, 2, 2, 2):
            raise ValueError(f"stages of strides {[s.stride for s in self.stages]}: want 1, 2, 2, 2")
        self.head.check(self.stages[-1].width)


S_VIPNAS_RES50 = ResNet50Arch(
    stages=(
        ResNetStage(depth=4, width=80, kernel=3, groups=16, attention=True, stride=1),
        ResNetStage(depth=6, width=160, kernel=5, groups=16, attention=False, stride=2),
        ResNetStage(depth=7, width=304, kernel=5, groups=16, attention=True, stride=2),
        ResNetStage(depth=3, width=608, kernel=5, groups=16, attention=True, stride=2),
    ),
    head=Head(widths=(144, 144, 144), groups=(16, 16, 16)),
)
"""The published network: 256x192 crops, 7.29 M parameters, 1.46 GMACs."""


class _Bottleneck(nn.Module):
    """1x1, grouped kxk with the stride, 1x1; attention; shortcut; ReLU (He et al. 2016, without expansion)."""

    def __init__(self, inputs: int, stage: ResNetStage, stride: int) -> None:
        super().__init__()
        middle, width = stage.middle, stage.width
        self.conv1, self.bn1 = nn.Conv2d(inputs, middle, 1, bias=False), nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(
            middle, middle, stage.kernel, stride, stage.kernel // 2, groups=stage.groups, bias=False
        )
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3, self.bn3 = nn.Conv2d(middle, width, 1, bias=False), nn.BatchNorm2d(width)
        self.attention = GlobalContext(width) if stage.attention else None
        self.downsample: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        if self.attention is not None:
            y = self.attention(y)
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


def _stage(inputs: int, stage: ResNetStage) -> nn.Sequential:
    """Blocks; the first one's shortcut has a convolution in every stage, so that widths are free to change."""
    blocks = [
        _Bottleneck(inputs if index == 0 else stage.width, stage, stage.stride if index == 0 else 1)
        for index in range(stage.depth)
    ]
    blocks[0].downsample = nn.Sequential(
        nn.Conv2d(inputs, stage.width, 1, stage.stride, bias=False), nn.BatchNorm2d(stage.width)
    )
    return nn.Sequential(*blocks)


class _Backbone(nn.Module):
    """Holds the layers under their published names; the network runs them, since fusion comes between stages."""

    def __init__(self, arch: ResNet50Arch) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, arch.stem, arch.stem_kernel, 2, arch.stem_kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(arch.stem)
        inputs = arch.stem
        for number, stage in enumerate(arch.stages, 1):
            self.add_module(f"layer{number}", _stage(inputs, stage))
            inputs = stage.width
        # In a tuple, so that it is not registered and brings no keys of its own.
        self._stem = (nn.Sequential(self.conv1, self.bn1, nn.ReLU(), nn.MaxPool2d(3, 2, 1)),)

    @property
    def stem(self) -> nn.Sequential:
        """First convolution to max pooling."""
        return self._stem[0]

    def stage(self, number: int) -> nn.Module:
        """Stages count from 1."""
        return self.get_submodule(f"layer{number}")


class ResNet50PoseNet(PoseNetwork):
    """Crops (and heatmaps, where ``arch.fusion`` is set) to heatmaps or logits [N, K, H / 4, W / 4]."""

    arch: ResNet50Arch

    def __init__(self, arch: ResNet50Arch) -> None:
        super().__init__(arch)
        self.backbone = _Backbone(arch)
        self.head = build_head(arch.stages[-1].width, arch.head, arch.joints)
        self.set_fusion()

    def fusion_site(self, stage: int) -> tuple[int, int]:
        return self.arch.stages[stage - 1].width, 2 ** (stage - 1)

    def parts(self) -> list[tuple[str, nn.Module]]:
        blocks = [
            (f"stage{s}.block{int(name) + 1}", block)
            for s in (1, 2, 3, 4)
            for name, block in self.backbone.stage(s).named_children()
        ]
        head = [(f"head.{name}", part) for name, part in self.head.parts()]
        fusion = [("fusion", self.fusion)] if self.fusion is not None else []
        return [("stem", self.backbone.stem), *blocks, *head, *fusion]

    def forward(self, image: Tensor, previous: Tensor | None = None) -> Tensor:
        x = self.backbone.stem(image)
        for number in (1, 2, 3, 4):
            x = self.fuse(number, self.backbone.stage(number)(x), previous)
        out: Tensor = self.head(x)
        return out
