"""Networks whose published checkpoints can be imported: a new one is one entry here and its family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.mobilenetv3 import S_VIPNAS_MBV3
from vipose.models.networks.resnet50 import S_VIPNAS_RES50
from vipose.runtime.skeleton import COCO17, Skeleton

__all__ = ["IMPORTABLE", "Importable"]


@dataclass(frozen=True)
class Importable:
    """How a published network was trained, as far as running it needs.

    Attributes:
        arch: the network.
        skeleton: what its heatmaps mean.
        size: width, height of the crops, pixels.
        colour: order of channels. Means and standard deviations are ImageNet's in this very order: networks trained on
            BGR took the first mean from blue.
        sigma: of the heatmaps, cells.
        renamed: (old, new) beginnings of keys in older checkpoints.
    """

    arch: Architecture
    skeleton: Skeleton = COCO17
    size: tuple[int, int] = (192, 256)
    colour: Literal["RGB", "BGR"] = "RGB"
    sigma: float = 2.0
    renamed: tuple[tuple[str, str], ...] = ()


_MMPOSE = (("keypoint_head.", "head."),)
"""mmpose before 1.0 and the authors' own checkpoints."""

IMPORTABLE: dict[str, Importable] = {
    "s-vipnas-res50": Importable(S_VIPNAS_RES50, renamed=_MMPOSE),
    "s-vipnas-mbv3": Importable(S_VIPNAS_MBV3, renamed=_MMPOSE),
}
