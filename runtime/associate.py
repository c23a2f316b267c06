"""Which detection is which person: a similarity of OKS and IoU, solved by the Hungarian method."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from vipose.runtime.geometry import FloatArray, box_iou
from vipose.runtime.oks import BODY_AREA

__all__ = ["box_areas", "match", "moved", "similarity"]


def box_areas(boxes: FloatArray) -> npt.NDArray[np.float64]:
    """Areas [N] of boxes [N, 4]; inverted ones have 0."""
    boxes = np.asarray(boxes, np.float64)
    return np.asarray((boxes[:, 2:4] - boxes[:, :2]).clip(0).prod(1))


def moved(keypoints: FloatArray, old: FloatArray, new: FloatArray) -> npt.NDArray[np.float64]:
    """Keypoints [..., K, 2 or 3] carried along as box ``old`` becomes box ``new`` (both [4], frame pixels)."""
    out = np.array(keypoints, np.float64)
    old, new = np.asarray(old, np.float64), np.asarray(new, np.float64)
    scale = (new[2:] - new[:2]) / np.maximum(old[2:] - old[:2], 1.0)
    out[..., :2] = new[:2] + (out[..., :2] - old[:2]) * scale
    return out


def similarity(
    boxes: FloatArray,
    keypoints: FloatArray,
    detections: FloatArray,
    variances: FloatArray,
    growth: FloatArray,
) -> npt.NDArray[np.float64]:
    """Half IoU, half OKS of tracks with detections.

    A detection is a box and has no keypoints. Its OKS is that of the track's keypoints where the prediction puts them with the
    same keypoints carried into the detected box.

    Args:
        boxes: [T, 4] predicted.
        keypoints: [T, K, 3] of the tracks, moved by the prediction; joints of score 0 do not count.
        detections: [D, 4].
        variances: [K] of OKS.
        growth: [T] >= 1, how much wider than OKS's a distance may be: people out of sight may be anywhere near.

    Returns:
        [T, D] in 0..1.
    """
    boxes, detections = np.asarray(boxes, np.float64), np.asarray(detections, np.float64)
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
    relative = (keypoints[:, :, :2] - boxes[:, None, :2]) / size[:, None]
    change = detections[None] - boxes[:, None]  # [T, D, 4]
    shift = change[:, :, None, :2] + relative[:, None] * (change[..., 2:] - change[..., :2])[:, :, None]
    counts = np.asarray(keypoints)[:, None, :, 2] > 0
    scale = 2 * BODY_AREA * np.maximum(box_areas(boxes), 1.0) * np.square(growth)
    near = np.exp(-np.square(shift).sum(-1) / (scale[:, None, None] * np.asarray(variances)))
    oks = np.where(counts, near, 0.0).sum(-1) / np.maximum(counts.sum(-1), 1)  # [T, D] by [T, 1]
    return np.asarray((oks + box_iou(boxes, detections)) / 2)


def match(
    alike: npt.NDArray[np.float64], threshold: float, worth: npt.NDArray[np.float64] | None = None
) -> list[tuple[int, int]]:
    """Pairs (row, column) of the assignment with the largest sum of similarities.

    Args:
        alike: [R, C] similarities.
        threshold: pairs below it are not made and do not bend the assignment of the others.
        worth: [C] weight of each column in the sum, above 0: of two detections on one person the better one is wanted.
    """
    if alike.size == 0:
        return []
    gated = np.where(alike >= threshold, alike, 0.0)
    gain = gated if worth is None else gated * worth
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if gated[r, c] > 0]
