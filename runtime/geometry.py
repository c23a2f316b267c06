"""Boxes, crops and affines: the one place that knows how a frame, a crop and a heatmap lie on each other.

Pixel coordinates are continuous with (0, 0) at the centre of the top-left pixel (OpenCV's convention). Boxes are
x0, y0, x1, y1. Affines are 2x3 float64 and map column vectors (x, y, 1). A crop is defined by ONE affine
(frame -> network input); decoding, warping and drawing use it or its inverse.

Two conventions of scale exist and every graph's metadata names its own:

- ``udp`` (unbiased, Huang et al. 2020): corner centres map to corner centres, scale (W - 1) / w;
- ``msra`` (Xiao et al. 2018, mmpose's classic): scale W / w and the centre of the box at (W / 2, H / 2).
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

__all__ = [
    "PAD",
    "Convention",
    "FloatArray",
    "apply_affine",
    "box_iou",
    "compose",
    "crop",
    "crop_affine",
    "heatmap_scale",
    "invert",
    "keypoints_box",
    "warp_between",
    "warp_heatmaps",
]

FloatArray = npt.NDArray[np.floating]
Convention = Literal["udp", "msra"]
PAD = 1.25
"""Boxes are enlarged by this factor before they are cut out (all published top-down networks)."""


def crop_affine(
    box: npt.ArrayLike,
    size: tuple[int, int],
    *,
    pad: float = PAD,
    convention: Convention = "udp",
    rotation: float = 0.0,
) -> FloatArray:
    """The affine from the frame to a network input.

    Args:
        box: x0, y0, x1, y1 in frame pixels; an empty one counts as one pixel wide or high.
        size: width, height of the network input.
        pad: enlargement of the box; its shorter side is then enlarged to the aspect ratio of ``size``. Never clipped.
        convention: ``udp`` or ``msra``, see the module.
        rotation: degrees; positive turns the picture content counter-clockwise in the crop.

    Returns:
        [2, 3] float64.
    """
    x0, y0, x1, y1 = np.asarray(box, np.float64)[:4]
    width, height = size
    w, h = max(x1 - x0, 1.0), max(y1 - y0, 1.0)
    w = max(w, h * width / height) * pad
    if convention == "udp":
        scale, target = (width - 1) / w, np.array([(width - 1) / 2, (height - 1) / 2])
    else:
        scale, target = width / w, np.array([width / 2, height / 2])
    angle = np.deg2rad(rotation)
    linear = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    return np.column_stack([linear, target - linear @ centre])


def invert(affine: FloatArray) -> FloatArray:
    """The inverse affine [2, 3]; raises numpy.linalg.LinAlgError for a singular one."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])


def compose(second: FloatArray, first: FloatArray) -> FloatArray:
    """The affine that applies ``first`` and then ``second``."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def apply_affine(affine: FloatArray, points: FloatArray) -> FloatArray:
    """Points [..., 2] (further columns are kept as they are) through an affine."""
    moved = np.array(points, np.float64)
    moved[..., :2] = moved[..., :2] @ affine[:, :2].T + affine[:, 2]
    return moved


def crop(image: npt.NDArray[np.uint8], affine: FloatArray, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Cut a crop of ``size`` (width, height) out of [H, W, 3] uint8; bilinear, outside black."""
    return np.asarray(cv2.warpAffine(image, affine, size, flags=cv2.INTER_LINEAR), np.uint8)


def heatmap_scale(size: tuple[int, int], heatmap: tuple[int, int], convention: Convention) -> FloatArray:
    """The affine from network input pixels to heatmap cells; both sizes are width, height."""
    if convention == "udp":
        sx, sy = (heatmap[0] - 1) / (size[0] - 1), (heatmap[1] - 1) / (size[1] - 1)
    else:
        sx, sy = heatmap[0] / size[0], heatmap[1] / size[1]
    return np.array([[sx, 0.0, 0.0], [0.0, sy, 0.0]])


def warp_between(
    previous: FloatArray, current: FloatArray, size: tuple[int, int], heatmap: tuple[int, int], convention: Convention
) -> FloatArray:
    """The affine that carries heatmap cells of the previous crop to cells of the current one (design: Propagation).

    Args:
        previous, current: frame -> input affines of the two crops.
        size, heatmap: width, height of the network input and of the heatmaps.
        convention: the graph's.
    """
    scale = heatmap_scale(size, heatmap, convention)
    return compose(scale, compose(current, compose(invert(previous), invert(scale))))


def warp_heatmaps(heatmaps: npt.NDArray[np.float32], affine: FloatArray) -> npt.NDArray[np.float32]:
    """Warp [K, h, w] float32 by a cell -> cell affine: bilinear, zero outside.

    ONE ``cv2.warpAffine`` on a K-channel image. Training calls this very function: one-channel warps go through another
    interpolation path in OpenCV 5 and differ by up to 0.02.
    """
    k, h, w = heatmaps.shape
    image = np.ascontiguousarray(heatmaps.transpose(1, 2, 0))
    warped = cv2.warpAffine(image, affine, (w, h), flags=cv2.INTER_LINEAR)
    return np.ascontiguousarray(warped.reshape(h, w, k).transpose(2, 0, 1))


def box_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Intersection over union of boxes [N, 4] and [M, 4] as [N, M]; 0 where both are empty."""
    a, b = np.asarray(a, np.float64).reshape(-1, 4), np.asarray(b, np.float64).reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = (high - low).clip(0).prod(-1)
    area_a, area_b = (a[:, 2:] - a[:, :2]).clip(0).prod(-1), (b[:, 2:] - b[:, :2]).clip(0).prod(-1)
    union = area_a[:, None] + area_b[None] - inter
    return np.where(union > 0, inter / np.maximum(union, 1e-12), 0.0)


def keypoints_box(keypoints: FloatArray, threshold: float) -> FloatArray | None:
    """The tight box [4] around the keypoints [K, 3] whose score reaches ``threshold``; None with fewer than two."""
    good = keypoints[keypoints[:, 2] >= threshold, :2]
    if len(good) < 2:
        return None
    return np.concatenate([good.min(0), good.max(0)])
