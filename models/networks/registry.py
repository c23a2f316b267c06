"""Families of pose networks by name: JSON to description, description to network."""

from __future__ import annotations

from typing import Any

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.base import PoseNetwork
from vipose.models.networks.efficientpose import EfficientPose, EfficientPoseArch
from vipose.models.networks.fused import FusedArch, FusedPoseNet
from vipose.models.networks.hrnet import HRNet, HRNetArch
from vipose.models.networks.lite0_pose import Lite0PoseArch, Lite0PoseNet
from vipose.models.networks.mobilenetv3 import MobileNetV3Arch, MobileNetV3PoseNet
from vipose.models.networks.posenas import PoseNAS, PoseNASArch
from vipose.models.networks.resnet50 import ResNet50Arch, ResNet50PoseNet

__all__ = ["FAMILIES", "architecture_from_json", "build"]

FAMILIES: dict[str, tuple[type[Architecture], type[PoseNetwork]]] = {
    "efficientpose": (EfficientPoseArch, EfficientPose),
    "fused": (FusedArch, FusedPoseNet),
    "hrnet": (HRNetArch, HRNet),
    "lite0": (Lite0PoseArch, Lite0PoseNet),
    "mobilenetv3": (MobileNetV3Arch, MobileNetV3PoseNet),
    "posenas": (PoseNASArch, PoseNAS),
    "resnet50": (ResNet50Arch, ResNet50PoseNet),
}


def architecture_from_json(data: dict[str, Any]) -> Architecture:
    """The description that ``to_json`` wrote; raises ValueError for an unknown family or malformed fields."""
    family = data.get("family")
    if family not in FAMILIES:
        raise ValueError(f"architecture family {family!r}: there are {', '.join(FAMILIES)}")
    return FAMILIES[family][0].from_json(data)


def build(arch: Architecture) -> PoseNetwork:
    """A network with fresh weights."""
    return FAMILIES[arch.family][1](arch)
