"""What a network should put out for one view of a person: distributions over cells, or Gaussians with peaks of 1.

A teacher's heatmaps are warped by the same affine as the picture (OpenCV, all channels at once).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from vipose.models.data.augment import View
from vipose.runtime.codec import encode_gaussian
from vipose.runtime.errors import UsageError
from vipose.runtime.geometry import apply_affine, compose, crop_affine, heatmap_scale, invert
from vipose.runtime.skeleton import COCO17, Skeleton

__all__ = ["TargetSpec", "Targets", "gaussian_heatmaps", "targets", "warp_teacher"]

Maps = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
TEACHER_SIZE, TEACHER_MAP = (192, 256), (48, 64)
_TO_MAP = heatmap_scale(TEACHER_SIZE, TEACHER_MAP, "udp")
SURE, BLANK = 0.25, 0.12
"""A teacher knows a joint from a peak of SURE on; below BLANK it sees none."""
NOISE = 0.06
"""What is subtracted from a teacher's heatmap before it becomes a distribution."""
TRUST = 0.4
"""Share of a teacher that agrees with a label."""


@dataclass(frozen=True)
class TargetSpec:
    """What targets are.

    Attributes:
        kind: ``distribution`` (joints sum to 1, for cross-entropy) or ``gaussian`` (peak 1, for mean squared error).
        sigma: cells of the heatmap.
        unbiased: of ``gaussian`` only. False: centre rounded to a cell and a window of 3 sigma (Xiao et al. 2018, the
            convention of ViPNAS); True: neither (DARK, Zhang et al. 2020). Distributions are always unbiased.
    """

    kind: Literal["distribution", "gaussian"] = "distribution"
    sigma: float = 2.0
    unbiased: bool = True

    def __post_init__(self) -> None:
        if self.kind not in ("distribution", "gaussian"):
            raise UsageError(f"there is no target '{self.kind}'; choose distribution or gaussian")
        if not self.sigma > 0:
            raise UsageError(f"target sigma {self.sigma} is not above 0; 2 cells are usual at 48x64")

    def scaled(self, factor: float) -> TargetSpec:
        """The same with sigma times ``factor``: the same spread on the person at another input size."""
        return replace(self, sigma=self.sigma * factor)


@dataclass(frozen=True)
class Targets:
    """``distribution`` [K, h, w] float32, what :class:`TargetSpec` says; ``weight`` [K] float32, 0 = no loss."""

    distribution: Maps
    weight: npt.NDArray[np.float32]


def targets(
    gt: npt.NDArray[np.float32],
    teacher: npt.NDArray[np.uint8] | None,
    box: npt.NDArray[np.float32],
    view: View,
    size: tuple[int, int],
    heatmap: tuple[int, int],
    spec: TargetSpec | float,
    skeleton: Skeleton = COCO17,
) -> Targets:
    """Targets of one view: people's labels first, blended with a teacher that agrees; the teacher alone elsewhere.

    Distributions: joints that neither knows learn a flat map with a small weight, so that their score falls. Without a
    teacher those are the labelled joints that lie outside of the view; joints without a label have weight 0.

    Gaussians: weights are 0 or 1. A labelled joint counts unless its whole Gaussian lies outside (mmpose). Joints
    without a label take the teacher's heatmap where it is sure, an empty one where it sees nothing, and have weight 0
    otherwise.

    Args:
        gt: [K, 3] x, y, v on the stored crop; v = 0: no label.
        teacher: [K, 64, 48] heatmaps x 255 of the stored crop, None where there is no teacher.
        box: [4] x0 y0 x1 y1 on the stored crop.
        view: of the sample.
        size, heatmap: width, height of the network input and of the heatmaps.
        spec: what to make; a number is the sigma, in cells, of distributions.
        skeleton: of the K joints; says which are exchanged where the view is mirrored.
    """
    spec = spec if isinstance(spec, TargetSpec) else TargetSpec(sigma=spec)
    to_map = compose(heatmap_scale(size, heatmap, "udp"), view.affine)
    flip = list(skeleton.flip) if view.mirrored else None
    joints = gt if flip is None else gt[flip]
    points, labelled = apply_affine(to_map, joints[:, :2]), joints[:, 2] > 0
    soft = None if teacher is None else warp_teacher(teacher, box, to_map, heatmap, flip)
    make = _gaussians if spec.kind == "gaussian" else _distributions
    return make(points, labelled, soft, heatmap, spec)


def _distributions(
    points: npt.NDArray[np.floating], labelled: Mask, soft: Maps | None, heatmap: tuple[int, int], spec: TargetSpec
) -> Targets:
    w, h = heatmap
    inside = labelled & (points >= -0.5).all(1) & (points[:, 0] < w - 0.5) & (points[:, 1] < h - 0.5)
    if soft is None:
        out = np.full((len(points), h, w), 1.0 / (w * h), np.float32)
        sure, peak = np.zeros(len(points), bool), np.zeros(len(points), np.float32)
        absent = labelled & ~inside
    else:
        out, peak, sure = _normalised(soft)
        absent = ~inside & (peak < BLANK)
    weight = np.where(inside, 1.0, np.where(sure, np.minimum(peak, 1.0), 0.0)).astype(np.float32)
    if inside.any():
        hard = encode_gaussian(points[inside], heatmap, spec.sigma)
        near = None if soft is None else _agree(out[inside], hard) & sure[inside]
        hard /= np.maximum(hard.sum((1, 2)), 1e-6)[:, None, None]
        if near is not None:
            share = np.float32(TRUST)
            hard[near] = (1 - share) * hard[near] + share * out[inside][near]
        out[inside] = hard
    out[absent] = 1.0 / (w * h)
    weight[absent] = 0.05
    return Targets(out, weight)


def _normalised(soft: Maps) -> tuple[Maps, npt.NDArray[np.float32], Mask]:
    """Heatmaps as distributions (in place), their peaks before, and which of them are sure."""
    peak = soft.max((1, 2))
    np.subtract(soft, NOISE, out=soft)
    np.maximum(soft, 0, out=soft)
    mass = soft.sum((1, 2))
    soft /= np.maximum(mass, 1e-6)[:, None, None]
    return soft, peak, (peak > SURE) & (mass > 0.5)


def _agree(soft: Maps, hard: Maps) -> Mask:
    """Whether enough of a teacher's distribution lies within two sigma of the label."""
    return np.asarray((soft * (hard > 0.14)).sum((1, 2)) > 0.3)


def _gaussians(
    points: npt.NDArray[np.floating], labelled: Mask, soft: Maps | None, heatmap: tuple[int, int], spec: TargetSpec
) -> Targets:
    out, touches = gaussian_heatmaps(points, heatmap, spec.sigma, unbiased=spec.unbiased)
    known = labelled & touches
    out[~known] = 0
    if soft is None:
        return Targets(out, known.astype(np.float32))
    distribution, peak, sure = _normalised(soft.copy())
    alone = ~labelled & sure
    out[alone] = soft[alone]
    agrees = known & sure & _agree(distribution, out)
    mixed = (1 - TRUST) * out[agrees] + TRUST * soft[agrees] / peak[agrees, None, None]
    out[agrees] = mixed / mixed.max((1, 2), keepdims=True)
    return Targets(out, (known | alone | (~labelled & (peak < BLANK))).astype(np.float32))


def gaussian_heatmaps(
    points: npt.NDArray[np.floating], heatmap: tuple[int, int], sigma: float, *, unbiased: bool
) -> tuple[Maps, Mask]:
    """Gaussians with peaks of 1 and the rule by which mmpose drops those that lie outside.

    Args:
        points: [K, 2] in heatmap cells.
        heatmap: width, height.
        sigma: cells.
        unbiased: see :class:`TargetSpec`.

    Returns:
        [K, h, w] float32, and [K] bool: False where the window of 3 sigma misses the map.
    """
    centres = np.array(points, np.float64)
    radius = 3 * sigma
    if not unbiased:
        centres, radius = np.trunc(centres + 0.5), float(int(radius))
    touches = np.asarray((np.trunc(centres - radius) < heatmap).all(1) & (np.trunc(centres + radius + 1) >= 0).all(1))
    maps = encode_gaussian(centres, heatmap, sigma) if unbiased else _windowed(centres, heatmap, sigma, radius)
    return maps, touches


def _windowed(points: npt.NDArray[np.floating], heatmap: tuple[int, int], sigma: float, radius: float) -> Maps:
    """Gaussians that are cut off at ``radius`` cells along either axis."""
    sides = []
    for axis, length in enumerate(heatmap):
        away = np.arange(length) - points[:, axis: axis + 1]
        sides.append(np.where(np.abs(away) <= radius, np.exp(-(away**2) / (2 * sigma**2)), 0.0).astype(np.float32))
    return np.asarray(sides[1][:, :, None] * sides[0][:, None, :], np.float32)


def warp_teacher(
    teacher: npt.NDArray[np.uint8],
    box: npt.NDArray[np.float32],
    to_map: npt.NDArray[np.floating],
    heatmap: tuple[int, int],
    flip: Sequence[int] | None = None,
) -> Maps:
    """Teacher heatmaps [K, h, w] float32 on the cells of a view; ``flip`` reorders joints where that is mirrored."""
    stored = compose(_TO_MAP, crop_affine(box, TEACHER_SIZE))
    image = np.ascontiguousarray(teacher.transpose(1, 2, 0))
    warped = cv2.warpAffine(image, compose(to_map, invert(stored)), heatmap, flags=cv2.INTER_LINEAR)
    maps = warped.transpose(2, 0, 1).astype(np.float32)
    maps /= 255
    return np.asarray(maps if flip is None else maps[list(flip)], np.float32)
