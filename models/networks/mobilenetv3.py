"""S-ViPNAS-MobileNetV3 and its kin: inverted residuals with grouped or depthwise convolutions and squeeze-excitation.

ViPNAS (Xu et al., CVPR 2021), table A1. State-dict keys are those of the official checkpoints: blocks are numbered
through the stages (``backbone.layer1`` to ``layer21``), the head is under ``head``.

For ONNX Runtime the family also has faster forms of its parts: squeeze-excitation on a block's output instead of its
hidden features, a dense 3x3 convolution at a stage's entry and a head that up-samples by copying.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.attention import SqueezeExcitation
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.blocks import ConvBN, activation
from vipose.models.networks.heads import Head, build_head

__all__ = ["S_VIPNAS_MBV3", "MobileNetV3Arch", "MobileNetV3PoseNet", "MobileStage"]

_NUMBERED = re.compile(r"backbone\.layer(\d+)\.")


@dataclass(frozen=True, kw_only=True)
class MobileStage:
    """One stage; all that ViPNAS chooses is chosen for all of its blocks.

    Attributes:
        depth: blocks; 0 only where the stage keeps its input's shape.
        width: channels out of every block.
        expansion: hidden channels of every block, the first one too, are ``expansion * width``. With 1 there is no
            convolution that expands.
        kernel: of the middle convolution.
        groups: of the middle convolution; as many as hidden channels = depthwise.
        attention: squeeze-excitation.
        stride: of the first block.
        hswish: activation; ReLU otherwise.
        fused_entry: the first block has one dense 3x3 convolution in place of its expanding and middle ones (the block
            of EfficientNetV2): expanding before a stride is dear.
    """

    depth: int
    width: int
    expansion: int
    kernel: int
    groups: int
    attention: bool
    stride: int
    hswish: bool = False
    fused_entry: bool = False

    @property
    def hidden(self) -> int:
        """Channels of the middle convolution."""
        return self.width * self.expansion


@dataclass(frozen=True, kw_only=True)
class MobileNetV3Arch(Architecture):
    """A frozen description of one network.

    Attributes:
        stem: channels after the first 3x3 convolution (stride 2).
        stem_hswish: its activation; ReLU otherwise.
        stages: in order; their strides multiply to 16.
        attention_on: where squeeze-excitation sits: ``hidden`` features (as published) or the block's ``output``.
        head: from stride 32 to 4.
    """

    family = "mobilenetv3"

    stem: int = 16
    stem_hswish: bool = True
    stages: tuple[MobileStage, ...]
    attention_on: Literal["hidden", "output"] = "hidden"
    head: Head

    def __post_init__(self) -> None:
        inputs = self.stem
        for number, stage in enumerate(self.stages, 1):
            same = stage.width == inputs and stage.stride == 1
            if stage.depth < 1 and not same:
                raise ValueError(f"stage {number} has no block but changes {inputs} channels or the stride")
            if stage.expansion == 1 and stage.width != inputs:
                raise ValueError(f"stage {number}: expansion 1 needs {inputs} channels, not {stage.width}")
            if stage.hidden % stage.groups:
                raise ValueError(f"stage {number}: {stage.groups} groups do not divide {stage.hidden} channels")
            inputs = stage.width
        if self.strides[-1] != 32 or not {4, 8, 16} <= set(self.strides):
            raise ValueError(f"stages of strides {self.strides}: want 4, 8, 16 and 32 among them, in this order")
        self.head.check(inputs)

    @property
    def strides(self) -> tuple[int, ...]:
        """Input pixels a feature cell, of every stage's output."""
        return tuple(2 * math.prod(s.stride for s in self.stages[: n + 1]) for n in range(len(self.stages)))

    @property
    def fusion_stages(self) -> tuple[int, ...]:
        """Index of the stage that F1, F2, F3, F4 mean: the last ones of strides 4, 8, 16 and 32."""
        strides = self.strides
        return tuple(max(i for i, s in enumerate(strides) if s == stride) for stride in (4, 8, 16, 32))


def _published() -> tuple[MobileStage, ...]:
    columns = zip(
        (1, 4, 4, 4, 4, 4),
        (16, 24, 40, 80, 112, 160),
        (1, 5, 4, 5, 5, 6),
        (3, 7, 7, 5, 7, 5),
        (8, 120, 20, 100, 280, 240),
        (True, True, False, True, True, True),
        (1, 2, 2, 2, 1, 2),
        (False, False, False, True, True, True),
        strict=True,
    )
    return tuple(
        MobileStage(depth=d, width=w, expansion=e, kernel=k, groups=g, attention=a, stride=s, hswish=h)
        for d, w, e, k, g, a, s, h in columns
    )


S_VIPNAS_MBV3 = MobileNetV3Arch(stages=_published(), head=Head(widths=(160, 160, 160), groups=(160, 160, 160)))
"""The published network: 256x192 crops, 5.90 M parameters, 0.73 GMACs."""


class _Block(nn.Module):
    """Expand, filter, weight channels, project; an identity shortcut where shapes allow."""

    def __init__(self, inputs: int, stage: MobileStage, first: bool, attention_on: str) -> None:
        super().__init__()
        stride, hidden = stage.stride if first else 1, stage.hidden
        self.fused_conv: nn.Module | None = None
        self.expand_conv: nn.Module | None = None
        self.depthwise_conv: nn.Module | None = None
        if first and stage.fused_entry:
            self.fused_conv = ConvBN(inputs, hidden, 3, activation(stage.hswish), stride)
        else:
            if stage.expansion > 1:
                self.expand_conv = ConvBN(inputs, hidden, 1, activation(stage.hswish))
            act = activation(stage.hswish)
            self.depthwise_conv = ConvBN(hidden, hidden, stage.kernel, act, stride, stage.groups)
        self.on_hidden = attention_on == "hidden"
        self.se = SqueezeExcitation(hidden if self.on_hidden else stage.width) if stage.attention else None
        self.linear_conv = ConvBN(hidden, stage.width, 1, None)
        self.residual = stride == 1 and inputs == stage.width

    def extra_repr(self) -> str:
        return f"residual={self.residual}, attention on {'hidden' if self.on_hidden else 'output'}"

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in (self.fused_conv, self.expand_conv, self.depthwise_conv, self.se if self.on_hidden else None):
            y = y if layer is None else layer(y)
        y = self.linear_conv(y)
        if self.se is not None and not self.on_hidden:
            y = self.se(y)
        out: Tensor = x + y if self.residual else y
        return out


class _Backbone(nn.Module):
    """Holds the layers under their published names; the network runs them, since fusion comes between stages."""

    def __init__(self, arch: MobileNetV3Arch) -> None:
        super().__init__()
        self.conv1 = ConvBN(3, arch.stem, 3, activation(arch.stem_hswish), 2)
        inputs, number = arch.stem, 0
        for stage in arch.stages:
            for index in range(stage.depth):
                number += 1
                self.add_module(f"layer{number}", _Block(inputs, stage, index == 0, arch.attention_on))
                inputs = stage.width

    def block(self, number: int) -> nn.Module:
        """Blocks count from 1."""
        return self.get_submodule(f"layer{number}")


class MobileNetV3PoseNet(PoseNetwork):
    """Crops (and heatmaps, where ``arch.fusion`` is set) to heatmaps or logits [N, K, H / 4, W / 4]."""

    arch: MobileNetV3Arch

    def __init__(self, arch: MobileNetV3Arch) -> None:
        super().__init__(arch)
        self.backbone = _Backbone(arch)
        self.head = build_head(arch.stages[-1].width, arch.head, arch.joints)
        self._places = [(s, b) for s, stage in enumerate(arch.stages, 1) for b in range(stage.depth)]
        self.set_fusion()

    def fusion_site(self, stage: int) -> tuple[int, int]:
        return self.arch.stages[self.arch.fusion_stages[stage - 1]].width, 2 ** (stage - 1)

    def parts(self) -> list[tuple[str, nn.Module]]:
        blocks = [(f"stage{s}.block{b + 1}", self.backbone.block(n)) for n, (s, b) in enumerate(self._places, 1)]
        head = [(f"head.{name}", part) for name, part in self.head.parts()]
        fusion = [("fusion", self.fusion)] if self.fusion is not None else []
        return [("stem", self.backbone.conv1), *blocks, *head, *fusion]

    def canonical(self, key: str) -> str:
        found = _NUMBERED.match(key)
        if found is None:
            return key
        stage, block = self._places[int(found[1]) - 1]
        return f"backbone.stage{stage}.{block}.{key[found.end() :]}"

    def forward(self, image: Tensor, previous: Tensor | None = None) -> Tensor:
        sites = {index: number for number, index in enumerate(self.arch.fusion_stages, 1)}
        x, number = self.backbone.conv1(image), 0
        for index, stage in enumerate(self.arch.stages):
            for _ in range(stage.depth):
                number += 1
                x = self.backbone.block(number)(x)
            x = self.fuse(sites.get(index, 0), x, previous)
        out: Tensor = self.head(x)
        return out
