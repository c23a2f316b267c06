"""The networks of the papers: their descriptions, what the papers print about them, and why figures differ.

Printed figures are those of "ViPNAS: Efficient Video Pose Estimation via Neural Architecture Search" (Xu et al., CVPR
2021), table 1 (PoseTrack18) and table 2 (COCO val2017). Descriptions are those of the published code: open-mmlab/mmpose
at 759b39c, which agrees with the authors' luminxu/ViPNAS at 56a0630, and HRNet (Sun et al., CVPR 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.hrnet import HRNET_W32
from vipose.models.networks.mobilenetv3 import S_VIPNAS_MBV3
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
)
