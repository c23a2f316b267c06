"""Heatmaps to keypoints and back: Gaussian targets, quarter-offset and DARK decoding, flip merge."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.geometry import Convention, apply_affine, heatmap_scale, invert

__all__ = ["Refinement", "dark_blur", "decode", "decode_frame", "encode_gaussian", "merge_flipped", "sigma_at"]

Refinement = Literal["dark", "quarter", "none"]
_HEIGHT = 256
"""Rows of the crops for which a sigma is named, pixels."""


def sigma_at(sigma: float, height: int) -> float:
    """Sigma in cells at crops of another height, for the same spread on the person.

    As published, 2 at 192x256 is 3 at 288x384 (mmpose's configurations of COCO) and stays 2 at 256x256 (of MPII).

    Args:
        sigma: at crops of 256 rows, cells.
        height: of the crops, pixels.
    """
    return sigma * height / _HEIGHT


def dark_blur(sigma: float) -> int:
    """DARK's odd kernel for heatmaps of this sigma (cells): 11 at 2, 17 at 3, as published (Zhang et al. 2020, mmpose)."""
    return max(3, 2 * round(3 * sigma) - 1)


def encode_gaussian(
    points: npt.NDArray[np.floating], heatmap: tuple[int, int], sigma: float = 2.0
) -> npt.NDArray[np.float32]:
    """Unrounded Gaussians (DARK's "unbiased" target).

    Args:
        points: [..., K, 2] in heatmap cells.
        heatmap: width, height.
        sigma: cells.

    Returns:
        [..., K, h, w] float32, peak 1 where a point falls on a cell.
    """
    width, height = heatmap
    x = np.exp(-((np.arange(width, dtype=np.float32) - points[..., 0:1]) ** 2) / (2 * sigma**2))
    y = np.exp(-((np.arange(height, dtype=np.float32) - points[..., 1:2]) ** 2) / (2 * sigma**2))
    return (y[..., :, None] * x[..., None, :]).astype(np.float32)


def decode(
    heatmaps: npt.NDArray[np.float32], refinement: Refinement = "dark", blur: int = 3
) -> npt.NDArray[np.float32]:
    """Peaks of heatmaps, vectorised over people and joints.

    ``quarter`` moves a quarter of a cell towards the larger neighbour; ``dark`` takes one Newton step on the logarithm of the
    blurred map (Zhang et al., CVPR 2020, equations 3-9). Only the 15x15 neighbourhood of a peak is blurred.

    Args:
        heatmaps: [N, K, h, w] float32.
        refinement: ``dark``, ``quarter`` or ``none``.
        blur: odd kernel size of DARK's Gaussian (OpenCV's automatic sigma).

    Returns:
        [N, K, 3] float32: x, y in cells, peak value. A map without a positive value gives -1, -1 and its maximum.
    """
    n, k, height, width = heatmaps.shape
    out = np.empty((n, k, 3), np.float32)
    if n == 0:
        return out
    flat = heatmaps.reshape(n * k, -1)
    peak_index = flat.argmax(1)
    rows = np.arange(n * k)
    score = flat[rows, peak_index]
    x, y = peak_index % width, peak_index // width
    position = np.stack([x, y], 1).astype(np.float64)
    if refinement == "quarter":
        position += _quarter(flat.reshape(-1, height, width), rows, x, y)
    elif refinement == "dark":
        position += _dark(flat.reshape(-1, height, width), x, y, blur)
    position[score <= 0] = -1
    out[..., :2] = position.reshape(n, k, 2)
    out[..., 2] = score.reshape(n, k)
    return out


def _quarter(
    maps: npt.NDArray[np.float32], rows: npt.NDArray[np.intp], x: npt.NDArray[np.intp], y: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """mmpose's rule: an axis moves where its own neighbours exist and the other axis is not on the border."""
    height, width = maps.shape[1:]
    xm, xp = (x - 1).clip(0), (x + 1).clip(max=width - 1)
    ym, yp = (y - 1).clip(0), (y + 1).clip(max=height - 1)
    good_x = (x > 1) & (x < width - 1) & (y > 0) & (y < height)
    good_y = (y > 1) & (y < height - 1) & (x > 0) & (x < width)
    dx = np.where(good_x, np.sign(maps[rows, y, xp] - maps[rows, y, xm]), 0)
    dy = np.where(good_y, np.sign(maps[rows, yp, x] - maps[rows, ym, x]), 0)
    return 0.25 * np.stack([dx, dy], 1).astype(np.float64)


def _dark(
    maps: npt.NDArray[np.float32], x: npt.NDArray[np.intp], y: npt.NDArray[np.intp], blur: int
) -> npt.NDArray[np.float64]:
    """One Newton step per map; zero where the 5x5 neighbourhood leaves the map or the Hessian is singular."""
    total, height, width = maps.shape
    reach = 2 + blur // 2  # second differences of step 2 need two cells, each blurred by half a kernel
    side = 2 * reach + 1
    padded = np.pad(maps, ((0, 0), (reach, reach), (reach, reach)))
    grid = np.arange(side)
    windows = padded[np.arange(total)[:, None, None], (y[:, None] + grid)[:, :, None], (x[:, None] + grid)[:, None, :]]
    kernel = cv2.getGaussianKernel(blur, 0).astype(np.float64).ravel()
    weights = np.zeros((5, side))  # the 5 blurred cells around the peak as sums over the window
    for cell in range(5):
        weights[cell, cell: cell + blur] = kernel
    smooth = np.einsum("ar,nrc,bc->nab", weights, windows.astype(np.float64), weights, optimize=True)
    log = np.log(np.maximum(smooth, 1e-10))
    dx, dy = (log[:, 2, 3] - log[:, 2, 1]) / 2, (log[:, 3, 2] - log[:, 1, 2]) / 2
    dxx = (log[:, 2, 4] - 2 * log[:, 2, 2] + log[:, 2, 0]) / 4
    dyy = (log[:, 4, 2] - 2 * log[:, 2, 2] + log[:, 0, 2]) / 4
    dxy = (log[:, 3, 3] - log[:, 1, 3] - log[:, 3, 1] + log[:, 1, 1]) / 4
    det = dxx * dyy - dxy * dxy
    good = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2) & (np.abs(det) > 1e-12)
    safe = np.where(good, det, 1.0)
    step = -np.stack([(dyy * dx - dxy * dy) / safe, (dxx * dy - dxy * dx) / safe], 1)
    # A flat or double peak makes the step explode; the true maximum lies within the neighbouring cells.
    return np.where(good[:, None], step.clip(-2, 2), 0.0)


def decode_frame(
    heatmaps: npt.NDArray[np.float32],
    affines: npt.NDArray[np.floating],
    size: tuple[int, int],
    convention: Convention,
    refinement: Refinement = "dark",
    blur: int = 3,
) -> npt.NDArray[np.float32]:
    """Heatmaps to frame pixels.

    Args:
        heatmaps: [N, K, h, w] float32.
        affines: [N, 2, 3] frame -> network input.
        size: width, height of the network input.
        convention: of the graph.
        refinement, blur: see :func:`decode`.

    Returns:
        [N, K, 3] float32: x, y in frame pixels, score clipped to 0..1.
    """
    cells = decode(heatmaps, refinement, blur)
    to_input = invert(heatmap_scale(size, (heatmaps.shape[3], heatmaps.shape[2]), convention))
    for person, affine in enumerate(affines):
        back = apply_affine(invert(affine), apply_affine(to_input, cells[person, :, :2]))
        cells[person, :, :2] = back
    cells[..., 2] = cells[..., 2].clip(0, 1)
    return cells


def merge_flipped(
    plain: npt.NDArray[np.float32], mirrored: npt.NDArray[np.float32], flip: tuple[int, ...], *, shift: bool
) -> npt.NDArray[np.float32]:
    """Mean of heatmaps [N, K, h, w] and those of the mirrored crop, mirrored back.

    ``shift`` moves the latter one column to the right (msra; a udp network is aligned without it).
    """
    back = mirrored[:, list(flip), :, ::-1].copy()
    if shift:
        back[..., 1:] = back[..., :-1].copy()
    return np.asarray((plain + back) / 2, np.float32)
