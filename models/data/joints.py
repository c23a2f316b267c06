"""Joints of one skeleton made from those of another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vipose.runtime.skeleton import COCO17, MPII16

__all__ = ["joints_box", "mpii_from_coco"]

_SHARED = [(k, COCO17.index(name)) for k, name in enumerate(MPII16.joints) if name in COCO17.joints]


def mpii_from_coco(
    body: npt.NDArray[np.floating], neck: npt.NDArray[np.floating], head_top: npt.NDArray[np.floating]
) -> npt.NDArray[np.float32]:
    """MPII-16 labels [16, 3] of a person with COCO-17 labels [17, 3], neck and head top [3] each; x, y, v.

    Twelve joints have the same names. The upper neck is the neck. MPII puts its thorax between the shoulders and its
    pelvis between the hips: both are those middles here, where both sides are labelled, and as visible as the less
    visible side.
    """
    out = np.zeros((len(MPII16), 3), np.float32)
    for here, there in _SHARED:
        out[here] = body[there]
    out[MPII16.index("upper_neck")], out[MPII16.index("head_top")] = neck, head_top
    for name, part in (("pelvis", "hip"), ("thorax", "shoulder")):
        sides = np.stack([body[COCO17.index(f"{side}_{part}")] for side in ("left", "right")])
        out[MPII16.index(name)] = [*sides[:, :2].mean(0), sides[:, 2].min()]
    out[out[:, 2] <= 0] = 0
    return out


def joints_box(joints: npt.NDArray[np.floating], margin: float) -> npt.NDArray[np.float64]:
    """The box x0 y0 x1 y1 around labelled joints [K, 3], a share of its extent added on every side; zeros without any."""
    points = np.asarray(joints, np.float64)
    points = points[points[:, 2] > 0, :2]
    if not len(points):
        return np.zeros(4)
    low, high = points.min(0), points.max(0)
    return np.concatenate([low - margin * (high - low), high + margin * (high - low)])
