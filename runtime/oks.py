"""Object keypoint similarity (OKS), the measure of COCO keypoints, between every pose of two sets at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vipose.runtime.geometry import FloatArray

__all__ = ["BODY_AREA", "oks_matrix"]

BODY_AREA = 0.53
"""Share of its box that a person covers, mean of COCO: area of a person = this times the area of the box."""


def oks_matrix(
    poses: FloatArray,
    references: FloatArray,
    areas: FloatArray,
    variances: FloatArray,
    *,
    visible: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float64]:
    """OKS of every pose with every reference (COCO; Ronchi and Perona, ICCV 2017).

    A joint at distance d counts exp(-d^2 / (2 * area * variance)); the mean runs over the joints that count.

    Args:
        poses: [N, K, 2 or more] x, y, …
        references: [M, K, 3] x, y, score or visibility, in the same pixels.
        areas: [M] area of each reference person in square pixels (0 is taken as 1).
        variances: [K] (2 sigma)^2, see ``Skeleton.variances``.
        visible: which joints count; broadcast to [N, M, K]. Without it those of the references with a third value above 0.

    Returns:
        [N, M] float64 in 0..1; 0 where no joint counts.
    """
    poses, references = np.asarray(poses, np.float64), np.asarray(references, np.float64)
    n, m = len(poses), len(references)
    if n == 0 or m == 0:
        return np.zeros((n, m))
    if visible is None:
        visible = references[None, :, :, 2] > 0
    distance = np.square(poses[:, None, :, :2] - references[None, :, :, :2]).sum(-1)
    scale = 2 * np.maximum(np.asarray(areas, np.float64), 1.0)[:, None] * np.asarray(variances, np.float64)
    counts = np.broadcast_to(visible, distance.shape)
    near = np.where(counts, np.exp(-distance / scale), 0.0)
    return np.asarray(near.sum(-1) / np.maximum(counts.sum(-1), 1))
