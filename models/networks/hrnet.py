"""Networks on the HRNet plan (Sun et al., CVPR 2019), elastic as in ViPNAS (Xu et al., CVPR 2021, table A3).

Two strided convolutions; stage 1 of bottlenecks at 1/4 of the input size; stages 2 to 4 of multi-resolution modules,
whose branches (1/4, 1/8, 1/16, 1/32) run side by side and are summed into each other by fuse layers; one 1x1
convolution on the 1/4 branch. State-dict keys are those of HRNet's public code, so that :data:`HRNET_W32` takes its
weights.

Three points that the papers leave open:

- Attention is squeeze-and-excitation on the residual, after its last batch norm and before the shortcut is added (Hu et
  al. 2018); the published S-ViPNAS-Res50 places its attention there too.
- Depth counts blocks of each branch over the whole stage. A module holds four, the last one of a stage the rest, and
  modules without blocks vanish with their fuse layers.
- A branch may change its width between stages. The fuse layers of a stage's last module put out the widths of the next
  stage; on their identity path channels are dropped or padded with zeros (shortcut A of He et al. 2016).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.attention import SqueezeExcitation
from vipose.models.networks.base import PoseNetwork, conv_bn

__all__ = ["HRNET_W32", "Branch", "HRNet", "HRNetArch", "Stage"]

EXPANSION = 4
MODULE_BLOCKS = 4


@dataclass(frozen=True)
class Branch:
    """Blocks of one branch in one stage: all alike.

    Attributes:
        width: channels; a bottleneck puts out four times as many.
        groups: of the 3x3 convolutions (bottleneck: of the middle one); divides ``width``.
        kernel: of the same convolutions, odd.
        attention: squeeze-and-excitation at the end of every block.
    """

    width: int
    groups: int = 1
    kernel: int = 3
    attention: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.groups < 1 or self.width % self.groups or self.kernel % 2 == 0:
            raise ValueError(f"{self}: groups must divide the width, and the kernel must be odd")


@dataclass(frozen=True)
class Stage:
    """One stage: ``depth`` blocks in each of its branches (1/4, 1/8, ... of the input size)."""

    depth: int
    branches: tuple[Branch, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each branch."""
        return tuple(branch.width for branch in self.branches)


def _plain(depth: int, *widths: int) -> Stage:
    return Stage(depth, tuple(Branch(width) for width in widths))


_W32 = (_plain(4, 64), _plain(4, 32, 64), _plain(16, 32, 64, 128), _plain(12, 32, 64, 128, 256))


@dataclass(frozen=True, kw_only=True)
class HRNetArch(Architecture):
    """A frozen description of one network.

    Attributes:
        stem: channels of the two strided convolutions.
        stages: stage 1 (one branch of bottlenecks) to stage 4 (four branches of basic blocks).
    """

    family = "hrnet"

    stem: int = 64
    stages: tuple[Stage, Stage, Stage, Stage] = field(default=_W32)

    def __post_init__(self) -> None:
        for number, stage in enumerate(self.stages, 1):
            if len(stage.branches) != number or stage.depth < 1:
                raise ValueError(f"stage {number} of an HRNet needs {number} branches and some depth, not {stage}")


HRNET_W32 = HRNetArch()
"""HRNet-W32 as published: 28.5 M parameters, 7.1 GFLOPs (in the papers' counting) at 256x192."""


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 to four times the width, attention, shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, branch: Branch) -> None:
        super().__init__()
        width, outputs = branch.width, EXPANSION * branch.width
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _middle(branch), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.se = SqueezeExcitation(outputs) if branch.attention else nn.Identity()
        self.downsample: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        y = functional.relu(self.bn2(self.conv2(y)), inplace=True)
        return functional.relu(self.se(self.bn3(self.conv3(y))) + self.downsample(x))


class _BasicBlock(nn.Module):
    """Two convolutions of the same width, kernel and groups, attention, identity shortcut."""

    def __init__(self, branch: Branch) -> None:
        super().__init__()
        self.conv1, self.bn1 = _middle(branch), nn.BatchNorm2d(branch.width)
        self.conv2, self.bn2 = _middle(branch), nn.BatchNorm2d(branch.width)
        self.se = SqueezeExcitation(branch.width) if branch.attention else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.se(self.bn2(self.conv2(y))) + x)


class _HRModule(nn.Module):
    """Branches side by side, then every output as the sum of all branches.

    Args:
        branches: of the stage.
        depth: blocks in each branch.
        outputs: widths of the outputs, one for each branch, or only the first.
    """

    def __init__(self, branches: tuple[Branch, ...], depth: int, outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.outputs = outputs
        self.branches = nn.ModuleList(nn.Sequential(*(_BasicBlock(b) for _ in range(depth))) for b in branches)
        widths = [b.width for b in branches]
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_fuse_path(width, to, j, i) for j, width in enumerate(widths)) for i, to in enumerate(outputs)
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        features = [branch(x) for branch, x in zip(self.branches, features, strict=True)]
        return [self._sum(row, features) for row in range(len(self.outputs))]

    def parts(self) -> list[tuple[str, nn.Module]]:
        """Blocks, and paths of the fuse layers."""
        return [
            (f"{kind}.{row}.{name}", part)
            for kind, rows in (("branches", self.branches), ("fuse_layers", self.fuse_layers))
            for row, members in rows.named_children()
            for name, part in members.named_children()
        ]

    def _sum(self, row: int, features: list[Tensor]) -> Tensor:
        paths = cast(nn.ModuleList, self.fuse_layers[row])
        terms = [
            _fit(x, self.outputs[row]) if column == row else path(x)
            for column, (path, x) in enumerate(zip(paths, features, strict=True))
        ]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return functional.relu(total)


class HRNet(PoseNetwork):
    """Crops (and heatmaps, where ``arch.fusion`` is set) to [N, K, H / 4, W / 4].

    Heatmaps are fused into the 1/4 branch, after stage 1, 2, 3 or 4.
    """

    arch: HRNetArch

    def __init__(self, arch: HRNetArch) -> None:
        super().__init__(arch)
        first, second, third, fourth = arch.stages
        self.conv1, self.bn1 = nn.Conv2d(3, arch.stem, 3, 2, 1, bias=False), nn.BatchNorm2d(arch.stem)
        self.conv2, self.bn2 = nn.Conv2d(arch.stem, arch.stem, 3, 2, 1, bias=False), nn.BatchNorm2d(arch.stem)
        self.layer1 = _bottlenecks(arch.stem, first)
        wide = EXPANSION * first.branches[0].width
        self.transition1 = nn.ModuleList(
            [conv_bn(wide, second.widths[0]), nn.Sequential(conv_bn(wide, second.widths[1], 3, 2))]
        )
        self.stage2 = _modules(second, third.widths[:2])
        self.transition2 = _transition(third)
        self.stage3 = _modules(third, fourth.widths[:3])
        self.transition3 = _transition(fourth)
        self.stage4 = _modules(fourth, fourth.widths[:1])
        self.final_layer = nn.Conv2d(fourth.widths[0], arch.joints, 1)
        self.set_fusion()

    def fusion_site(self, stage: int) -> tuple[int, int]:
        if stage == 1:
            return EXPANSION * self.arch.stages[0].branches[0].width, 1
        return self.arch.stages[min(stage, 3)].widths[0], 1

    def parts(self) -> list[tuple[str, nn.Module]]:
        entries = (self.transition1, self.transition2, self.transition3)
        stages = (self.stage2, self.stage3, self.stage4)
        named: list[tuple[str, nn.Module]] = [("conv1", self.conv1), ("conv2", self.conv2)]
        named += [(f"layer1.{name}", block) for name, block in self.layer1.named_children()]
        for number, (entry, stage) in enumerate(zip(entries, stages, strict=True), 1):
            named += [(f"transition{number}.{name}", path) for name, path in entry.named_children()]
            for name, module in stage.named_children():
                inside = cast(_HRModule, module).parts()
                named += [(f"stage{number + 1}.{name}.{inner}", part) for inner, part in inside]
        named = [(name, part) for name, part in named if not isinstance(part, nn.Identity)]
        named.append(("final_layer", self.final_layer))
        return named + ([("fusion", self.fusion)] if self.fusion is not None else [])

    def forward(self, image: Tensor, previous: Tensor | None = None) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(image)), inplace=True)
        x = functional.relu(self.bn2(self.conv2(x)), inplace=True)
        x = self.fuse(1, self.layer1(x), previous)
        features = [entry(x) for entry in self.transition1]
        for stage, modules, transition in ((2, self.stage2, self.transition2), (3, self.stage3, self.transition3)):
            features = self._stage(stage, modules, features, previous)
            features.append(transition[stage](features[-1]))
        features = self._stage(4, self.stage4, features, previous)
        out: Tensor = self.final_layer(features[0])
        return out

    def _stage(
        self, stage: int, modules: nn.Sequential, features: list[Tensor], previous: Tensor | None
    ) -> list[Tensor]:
        features = modules(features)  # a list goes through, as in the public networks
        return [self.fuse(stage, features[0], previous), *features[1:]]


def _middle(branch: Branch) -> nn.Conv2d:
    """The convolution that is searched."""
    width, kernel = branch.width, branch.kernel
    return nn.Conv2d(width, width, kernel, 1, kernel // 2, groups=branch.groups, bias=False)


def _bottlenecks(inputs: int, stage: Stage) -> nn.Sequential:
    """Stage 1; the first shortcut has a convolution, so that widths are free to change."""
    (branch,) = stage.branches
    outputs = EXPANSION * branch.width
    blocks = [_Bottleneck(outputs if index else inputs, branch) for index in range(stage.depth)]
    blocks[0].downsample = conv_bn(inputs, outputs, 1, relu=False)
    return nn.Sequential(*blocks)


def _modules(stage: Stage, outputs: tuple[int, ...]) -> nn.Sequential:
    """Modules of a stage: four blocks in each, the last one with what is left and the widths of what follows."""
    count = math.ceil(stage.depth / MODULE_BLOCKS)
    modules = []
    for index in range(count):
        last = index == count - 1
        depth = stage.depth - index * MODULE_BLOCKS if last else MODULE_BLOCKS
        modules.append(_HRModule(stage.branches, depth, outputs if last else stage.widths))
    return nn.Sequential(*modules)


def _transition(stage: Stage) -> nn.ModuleList:
    """Into a stage with one branch more, which comes from the lowest resolution so far."""
    *old, new = stage.widths
    return nn.ModuleList([*(nn.Identity() for _ in old), nn.Sequential(conv_bn(old[-1], new, 3, 2))])


def _fuse_path(inputs: int, outputs: int, source: int, target: int) -> nn.Module:
    """From one resolution to another: 1x1 and nearest up-sampling, or strided 3x3 convolutions."""
    if source == target:
        return nn.Identity()
    if source > target:
        up = nn.Upsample(scale_factor=2.0 ** (source - target), mode="nearest")
        return nn.Sequential(*conv_bn(inputs, outputs, 1, relu=False), up)
    steps = [conv_bn(inputs, inputs, 3, 2) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, conv_bn(inputs, outputs, 3, 2, relu=False))


def _fit(x: Tensor, width: int) -> Tensor:
    """The first channels, or zeros after them: a parameter-free change of width."""
    if x.shape[1] == width:
        return x
    return x[:, :width] if x.shape[1] > width else functional.pad(x, (0, 0, 0, 0, 0, width - x.shape[1]))
