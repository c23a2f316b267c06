"""The networks of the papers: their descriptions, what the papers print about them, and why figures differ.

Printed figures are those of "ViPNAS: Efficient Video Pose Estimation via Neural Architecture Search" (Xu et al., CVPR
2021), table 1 (PoseTrack18) and table 2 (COCO val2017), and of "EfficientPose: Efficient Human Pose Estimation with
Neural Architecture Search" (Zhang et al. 2020), tables 2 and 3 (MPII) and 4 and 5 (COCO); of PoseNAS (Bao et al. 2020) the
README of its code. Descriptions are those of the published code: open-mmlab/mmpose at 759b39c, which agrees with the
authors' luminxu/ViPNAS at 56a0630, HRNet (Sun et al., CVPR 2019), hustvl/EfficientPose at 2be99fe and
for-code0216/PoseNAS at 743c062.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.efficientpose import (
    EFFICIENTPOSE_A,
    EFFICIENTPOSE_B,
    EFFICIENTPOSE_C,
    EfficientPoseArch,
)
from vipose.models.networks.hrnet import HRNET_W32
from vipose.models.networks.mobilenetv3 import S_VIPNAS_MBV3
from vipose.models.networks.posenas import POSENAS_L18_C48, POSENAS_L18_C64, PoseNASArch
from vipose.models.networks.resnet50 import S_VIPNAS_RES50

__all__ = ["PUBLISHED", "Printed", "Published"]


@dataclass(frozen=True)
class Printed:
    """What one table of a paper prints: millions of parameters, GFLOPs in the paper's counting; None where silent."""

    where: str
    parameters_m: float | None
    gflops: float | None


@dataclass(frozen=True)
class Published:
    """One network of a paper.

    Attributes:
        name: as the paper calls it.
        architecture: None where nobody has published it.
        printed: by table.
        remark: why what is counted differs from what is printed.
        size: width, height of the crops that the figures are for, pixels.
    """

    name: str
    architecture: Architecture | None
    printed: tuple[Printed, ...]
    remark: str
    size: tuple[int, int] = (192, 256)


_NOT_PRINTED = "not countable: the paper does not print the networks that were found, and no published code has them"


def _efficientpose(letter: str, arch: EfficientPoseArch, *printed: Printed, mpii: bool, remark: str = "agrees") -> Published:
    made = replace(arch, joints=16) if mpii else arch
    name, size = f"EfficientPose-{letter} ({'MPII' if mpii else 'COCO'})", (256, 256) if mpii else (192, 256)
    return Published(name, made, printed, remark, size)


def _posenas(name: str, arch: PoseNASArch, printed: Printed, millions: str) -> Published:
    remark = (
        f"millions and billions are 2^20 and 2^30 there: {millions} M parameters by 10^6. GFLOPs agree, without a "
        "convolution that the released code runs twice on the same input"
    )
    return Published(f"PoseNAS-{name}", arch, (printed,), remark, (288, 384))


PUBLISHED: tuple[Published, ...] = (
    Published(
        "S-ViPNAS-Res50",
        S_VIPNAS_RES50,
        (Printed("table 1", 7.3, 1.44), Printed("table 2", 13.5, 1.44)),
        "parameters agree with table 1, not with table 2; GFLOPs are 0.7 % below print in the published code",
    ),
    Published(
        "S-ViPNAS-MobileNetV3",
        S_VIPNAS_MBV3,
        (Printed("table 1", 5.4, 0.69), Printed("table 2", 2.8, 0.69)),
        "the two tables disagree, and the published code (5.90 M, of them 2.83 M in squeeze-excitation) has neither "
        "figure; its head lies outside table A1. GFLOPs agree",
    ),
    Published("HRNet-W32", HRNET_W32, (Printed("table 2", 28.5, 7.1),), "agrees"),
    Published("S-ViPNAS-HRNetW32", None, (Printed("table 2", 16.3, 5.64),), _NOT_PRINTED),
    Published("T-ViPNAS-Res50", None, (Printed("table 1", 3.9, 0.82),), _NOT_PRINTED),
    Published("T-ViPNAS-MobileNetV3", None, (Printed("table 1", 2.5, 0.37),), _NOT_PRINTED),
    _efficientpose("A", EFFICIENTPOSE_A, Printed("table 2", 1.3, 0.7), Printed("table 3", 1.3, 0.67), mpii=True),
    _efficientpose("B", EFFICIENTPOSE_B, Printed("table 2", 3.3, 1.5), mpii=True),
    _efficientpose(
        "C", EFFICIENTPOSE_C, Printed("table 2", 5.0, 2.0), mpii=True,
        remark="parameters agree; GFLOPs are 1.945 where 2.0 is printed, 3 % more (2.09 in billions of 10^9)",
    ),
    _efficientpose("A", EFFICIENTPOSE_A, Printed("table 4", 1.3, 0.5), mpii=False),
    _efficientpose("B", EFFICIENTPOSE_B, Printed("table 4", 3.3, 1.1), Printed("table 5", 3.3, 1.1), mpii=False),
    _efficientpose(
        "C", EFFICIENTPOSE_C, Printed("table 4", 5.0, 1.6), Printed("table 5", 5.0, 1.6), mpii=False,
        remark="parameters agree; GFLOPs are 1.459 where 1.6 is printed: that is 1.566 in billions of 10^9, rounded",
    ),
    _posenas("L18-C48", POSENAS_L18_C48, Printed("README", 21.1, 9.1), "22.17"),
    _posenas("L18-C64", POSENAS_L18_C64, Printed("README", 33.6, 14.8), "35.19"),
)
