"""Networks whose published checkpoints can be imported: a new one is one entry here and its family."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from vipose.models.networks.architecture import Architecture
from vipose.models.networks.efficientpose import (
    EFFICIENTPOSE_A,
    EFFICIENTPOSE_B,
    EFFICIENTPOSE_C,
    EfficientPoseArch,
)
from vipose.models.networks.mobilenetv3 import S_VIPNAS_MBV3
from vipose.models.networks.posenas import (
    POSENAS_L18_C48,
    POSENAS_L18_C48_MPII,
    POSENAS_L18_C64,
    POSENAS_L18_C64_MPII,
)
from vipose.models.networks.resnet50 import S_VIPNAS_RES50
from vipose.runtime.codec import Refinement
from vipose.runtime.skeleton import COCO17, MPII16, Skeleton

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
        decoding: sub-pixel refinement of the published figures; it goes into the card, since the runtime has its own
            default and an option for it.
        renamed: (old, new) beginnings of keys in older checkpoints.
    """

    arch: Architecture
    skeleton: Skeleton = COCO17
    size: tuple[int, int] = (192, 256)
    colour: Literal["RGB", "BGR"] = "RGB"
    sigma: float = 2.0
    decoding: Refinement = "quarter"
    renamed: tuple[tuple[str, str], ...] = ()


_MMPOSE = (("keypoint_head.", "head."),)
"""mmpose before 1.0 and the authors' own checkpoints."""


def _mpii(arch: EfficientPoseArch, colour: Literal["RGB", "BGR"]) -> Importable:
    """The network of a description as it is trained on MPII: 16 joints, square crops."""
    return Importable(replace(arch, joints=len(MPII16)), MPII16, (256, 256), colour)


IMPORTABLE: dict[str, Importable] = {
    "s-vipnas-res50": Importable(S_VIPNAS_RES50, renamed=_MMPOSE),
    "s-vipnas-mbv3": Importable(S_VIPNAS_MBV3, renamed=_MMPOSE),
    # Orders of channels are those of the published configurations (hustvl/EfficientPose at 2be99fe), and the authors'
    # evaluation logs of MPII B and C confirm them: in the wrong order these lose 3 to 4 PCKh.
    "efficientpose-a": Importable(EFFICIENTPOSE_A, colour="BGR"),
    "efficientpose-b": Importable(EFFICIENTPOSE_B),
    "efficientpose-c": Importable(EFFICIENTPOSE_C),
    # No configuration of A for MPII is published: its order is not known, and taken to be that of A for COCO.
    "efficientpose-a-mpii": _mpii(EFFICIENTPOSE_A, "BGR"),
    "efficientpose-b-mpii": _mpii(EFFICIENTPOSE_B, "BGR"),
    "efficientpose-c-mpii": _mpii(EFFICIENTPOSE_C, "RGB"),
    # A checkpoint does not tell the size that it was trained at, so --network has to.
    "posenas-l18-c48": Importable(POSENAS_L18_C48),
    "posenas-l18-c48-384x288": Importable(POSENAS_L18_C48, size=(288, 384), sigma=3.0),
    "posenas-l18-c48-mpii": Importable(POSENAS_L18_C48_MPII, MPII16, (256, 256)),
    "posenas-l18-c64": Importable(POSENAS_L18_C64),
    "posenas-l18-c64-384x288": Importable(POSENAS_L18_C64, size=(288, 384), sigma=3.0),
    "posenas-l18-c64-mpii": Importable(POSENAS_L18_C64_MPII, MPII16, (256, 256)),
}
