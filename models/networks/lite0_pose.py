"""Pose networks that begin with ImageNet: the fused EfficientNet-Lite0 of the person detector under a top-down head.

A trunk that has seen a million pictures learns people sooner than one that has seen none. Its early stages are dense, so it
runs and trains about as fast as the "fused" family (:mod:`vipose.models.networks.lite0` says how).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from vipose.models.networks.architecture import Architecture, Output
from vipose.models.networks.lite0 import FusedLite0
from vipose.models.networks.top_down import TopDownPoseNet

__all__ = ["Lite0PoseArch", "Lite0PoseNet"]


@dataclass(frozen=True, kw_only=True)
class Lite0PoseArch(Architecture):
    """A frozen description of one network.

    Attributes:
        blocks: which of Lite0's blocks 5 to 14 are kept after the fused stem; 5, 8 and 11 must be.
        head: channels of the top-down head at strides 32, 16, 8; half of them at stride 4.
    """

    family = "lite0"

    blocks: tuple[int, ...] = tuple(range(5, 15))
    head: int = 64
    output: Output = "logits"


class Lite0PoseNet(TopDownPoseNet):
    """Crops (and heatmaps, where ``arch.fusion`` is set) to logits [N, K, H / 4, W / 4]."""

    arch: Lite0PoseArch

    def __init__(self, arch: Lite0PoseArch) -> None:
        super().__init__(arch)
        self.backbone = FusedLite0(arch.blocks)
        self.add_head((FusedLite0.quarter_width, *FusedLite0.widths), arch.head)

    def parts(self) -> list[tuple[str, nn.Module]]:
        trunk = self.backbone
        stem = [
            (f"backbone.stem.{stage}.{name}", part)
            for stage in ("quarter", "eighth")
            for name, part in trunk.stem.get_submodule(stage).named_children()
        ]
        blocks = [
            (f"backbone.{stage}.{name}", part)
            for stage in ("middle", "deep")
            for name, part in trunk.get_submodule(stage).named_children()
        ]
        return [*stem, *blocks, *self.head_parts()]

    def forward(self, image: Tensor, previous: Tensor | None = None) -> Tensor:
        trunk = self.backbone
        quarter = self.fuse(1, trunk.stem.quarter(image), previous)
        eighth = self.fuse(2, trunk.stem.eighth(quarter), previous)
        sixteenth = self.fuse(3, trunk.sixteenth(eighth), previous)
        return self.top_down((quarter, eighth, sixteenth, self.fuse(4, trunk.thirty_second(sixteenth), previous)))
