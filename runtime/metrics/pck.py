"""Percentage of correct keypoints: a joint is right when it lies within a fraction of a reference length of its label.

PCK takes the longer side of the person's box. PCKh (Andriluka et al., CVPR 2014) takes the head: 0.6 times the diagonal
of its box.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vipose.runtime.skeleton import Skeleton

__all__ = ["HEAD_FACTOR", "MPII_GROUPS", "PckScore", "box_lengths", "head_lengths", "mpii_groups", "pck", "pckh"]

FloatArray = npt.NDArray[np.floating]
HEAD_FACTOR = 0.6
"""Head size = this times the diagonal of the head box (MPII's evaluation)."""
UNCOUNTED = ("pelvis", "thorax")
"""MPII's evaluation leaves these out of the mean."""
MPII_GROUPS = {
    "head": ("head_top",),
    **{name: (f"left_{name}", f"right_{name}") for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")},
}
"""Joints of the columns in which PCKh is customarily printed; the mean of both sides (upper neck enters the mean alone)."""


@dataclass(frozen=True)
class PckScore:
    """Shares of right joints.

    Attributes:
        mean: over all labelled joints together, so a joint that is labelled more often weighs more; None without labels.
        per_joint: [K], None for a joint that is never labelled.
        joints: labelled joints that went into ``mean``.
    """

    mean: float | None
    per_joint: tuple[float | None, ...]
    joints: int


def pck(
    predicted: FloatArray,
    truth: FloatArray,
    lengths: FloatArray,
    fraction: float,
    *,
    leave_out: Collection[int] = (),
) -> PckScore:
    """Share of joints within ``fraction * length`` of their label (a distance equal to the limit is right).

    Args:
        predicted: [N, K, 2 or 3]; NaN for a joint or person that was not found (wrong).
        truth: [N, K, 3] x, y, v; joints with v = 0 do not count.
        lengths: [N] reference lengths, pixels.
        fraction: for example 0.2 (PCK@0.2) or 0.5 (PCKh@0.5).
        leave_out: joints that do not enter the mean (MPII leaves out pelvis and thorax).
    """
    joints = truth.shape[1]
    labelled = truth[..., 2] > 0
    distance = np.hypot(predicted[..., 0] - truth[..., 0], predicted[..., 1] - truth[..., 1])
    right = (distance <= fraction * np.asarray(lengths, np.float64)[:, None]) & labelled
    hits, counts = right.sum(0), labelled.sum(0)
    per_joint = tuple(float(h / c) if c else None for h, c in zip(hits, counts, strict=True))
    counted = [k for k in range(joints) if k not in set(leave_out)]
    total = int(counts[counted].sum())
    return PckScore(float(hits[counted].sum() / total) if total else None, per_joint, total)


def pckh(
    predicted: FloatArray, truth: FloatArray, head_boxes: FloatArray, fraction: float, skeleton: Skeleton
) -> PckScore:
    """PCKh as MPII scores it: limits are ``fraction`` of the head size, pelvis and thorax are left out of the mean.

    Args:
        predicted, truth: see :func:`pck`.
        head_boxes: [N, 4] x, y, w, h.
        fraction: 0.5 is customary. Published logs call ``Mean@0.1`` what they take at 0.11; 0.1 is 0.1 here.
        skeleton: names the joints.
    """
    leave_out = [k for k, name in enumerate(skeleton.joints) if name in UNCOUNTED]
    return pck(predicted, truth, head_lengths(head_boxes), fraction, leave_out=leave_out)


def mpii_groups(score: PckScore, joints: Sequence[str]) -> dict[str, float | None]:
    """PCKh in the columns of :data:`MPII_GROUPS`; None for a column without labels."""
    named = dict(zip(joints, score.per_joint, strict=True))
    columns: dict[str, float | None] = {}
    for group, members in MPII_GROUPS.items():
        values = [value for name in members if (value := named.get(name)) is not None]
        columns[group] = sum(values) / len(values) if values else None
    return columns


def box_lengths(boxes: FloatArray) -> npt.NDArray[np.float64]:
    """The longer sides [N] of boxes [N, 4] given as x, y, w, h."""
    return np.asarray(np.asarray(boxes, np.float64).reshape(-1, 4)[:, 2:].max(1))


def head_lengths(head_boxes: FloatArray) -> npt.NDArray[np.float64]:
    """Head sizes [N] of head boxes [N, 4] given as x, y, w, h: 0.6 times the diagonal."""
    sides = np.asarray(head_boxes, np.float64).reshape(-1, 4)[:, 2:]
    return np.asarray(HEAD_FACTOR * np.hypot(sides[:, 0], sides[:, 1]))
