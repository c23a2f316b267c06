"""Running a detector in torch on whole pictures, and its average precision on pictures with ignored boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from vipose.models.data.detection import Picture, fit
from vipose.models.networks.detector import STRIDES, Detector, decode
from vipose.models.training.distil_stem import normalised
from vipose.runtime.detect import letterbox
from vipose.runtime.metadata import InputSpec

__all__ = ["average_precision", "detect_picture", "fit_calibration", "input_size", "judged", "suppress"]

Found = npt.NDArray[np.float32]


def input_size(pixels: int, width: int, height: int) -> tuple[int, int]:
    """Width, height of what a graph with an input of about ``pixels`` takes for a picture of ``width`` x ``height``."""
    return letterbox(InputSpec(0, 0, multiple=STRIDES[-1], pixels=pixels), width, height).size


def suppress(found: Found, overlap: float = 0.6) -> Found:
    """Greedy non-maximum suppression of [N, 5] x0 y0 x1 y1 score; best first."""
    found = found[found[:, 4].argsort()[::-1]]
    area = (found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1])
    alive, keep = np.ones(len(found), bool), []
    for i in range(len(found)):
        if not alive[i]:
            continue
        keep.append(i)
        low, high = np.maximum(found[i, :2], found[i:, :2]), np.minimum(found[i, 2:4], found[i:, 2:4])
        inter = np.maximum(high - low, 0).prod(1)
        alive[i:] &= inter <= overlap * (area[i] + area[i:] - inter)
    return found[keep]


@torch.inference_mode()
def detect_picture(
    network: Detector, image: npt.NDArray[np.uint8], pixels: int, threshold: float = 0.03
) -> Found:
    """People of one RGB picture, shown to the network in about ``pixels``: [N, 5] x0 y0 x1 y1 score, best first."""
    network.eval()
    size = input_size(pixels, image.shape[1], image.shape[0])
    canvas, _, scale = fit(image, np.zeros((0, 4), np.float32), size)
    boxes, logits = decode(network(normalised(canvas[None])))
    scores = logits[0].sigmoid()
    keep = scores > threshold
    found = torch.cat([boxes[0, keep] / scale, scores[keep, None]], 1).numpy()
    limit = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
    found[:, :4] = found[:, :4].clip(0, limit)
    return suppress(found)


def average_precision(found: Sequence[Found], pictures: Sequence[Picture], overlap: float = 0.5) -> float:
    """Area under the precision-recall curve at one IoU; what mostly lies in an ignored box counts neither way."""
    scores, right = judged(found, pictures, overlap)
    total = sum(len(p.boxes) for p in pictures)
    if not len(scores) or not total:
        return 0.0
    hit = right[np.argsort(-scores, kind="stable")]
    recall, precision = hit.cumsum() / total, hit.cumsum() / np.arange(1, len(hit) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * envelope).sum())


def judged(
    found: Sequence[Found], pictures: Sequence[Picture], overlap: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Scores of all boxes that count, and whether each is a person that no better box has claimed."""
    scores: list[float] = []
    right: list[bool] = []
    for boxes, picture in zip(found, pictures, strict=True):
        free = np.ones(len(picture.boxes), bool)
        for box in boxes:
            overlaps = np.where(free, _iou(box, picture.boxes), 0)
            if overlaps.max(initial=0) >= overlap:
                free[overlaps.argmax()] = False
                scores.append(float(box[4]))
                right.append(True)
            elif _covered(box, picture.ignore) < 0.5:
                scores.append(float(box[4]))
                right.append(False)
    return np.array(scores, np.float64), np.array(right, bool)


def fit_calibration(found: Sequence[Found], pictures: Sequence[Picture], overlap: float = 0.5) -> tuple[float, float]:
    """Slope a and offset b so that sigmoid(a x logit(score) + b) is the chance that a box is right (Platt 1999).

    Fitted by Newton's method on the boxes that count; (1, 0) where there are none or all are alike.
    """
    scores, right = judged(found, pictures, overlap)
    if len(scores) < 20 or right.all() or not right.any():
        return 1.0, 0.0
    inputs = np.stack([np.log(scores / (1 - scores).clip(1e-6)), np.ones_like(scores)], 1)
    weights = np.array([1.0, 0.0])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-inputs @ weights))
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, inputs.T @ (right - chance))
        weights += step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-9))
        if np.abs(step).max() < 1e-8:
            break
    return float(weights[0]), float(weights[1])


def _iou(box: Found, others: Found) -> npt.NDArray[np.float64]:
    inter = _intersection(box, others)
    area = (box[2] - box[0]) * (box[3] - box[1])
    union = area + (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1]) - inter
    return np.asarray(inter / np.maximum(union, 1e-9), np.float64)


def _covered(box: Found, others: Found) -> float:
    """Largest share of ``box`` that lies in one of ``others``."""
    area = max(float((box[2] - box[0]) * (box[3] - box[1])), 1e-9)
    return float(_intersection(box, others).max(initial=0)) / area


def _intersection(box: Found, others: Found) -> npt.NDArray[np.float64]:
    sides = np.minimum(box[2:4], others[:, 2:4]) - np.maximum(box[:2], others[:, :2])
    return np.asarray(np.maximum(sides, 0).prod(1), np.float64)
