"""Top-down pose on single pictures: crops, key-frame graph, flip test, decoding, instance scores and OKS suppression."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from vipose.runtime.codec import Refinement, decode_frame, merge_flipped
from vipose.runtime.errors import ModelError
from vipose.runtime.geometry import PAD, crop, crop_affine
from vipose.runtime.graphs import PoseGraph
from vipose.runtime.metadata import Codec
from vipose.runtime.oks import oks_matrix
from vipose.runtime.twice import average_looks, second_look

__all__ = ["NMS_OKS", "SCORE_THRESHOLD", "StageClock", "StillPose", "box_corners", "instance_scores", "oks_nms"]

FloatArray = npt.NDArray[np.floating]
Item = TypeVar("Item")
SCORE_THRESHOLD = 0.2
"""Joints below this score do not enter a person's score (mmpose's evaluation of ViPNAS)."""
NMS_OKS = 0.9
"""Of two poses more alike than this only the better one is kept; detector boxes only."""


class StageClock:
    """Milliseconds by stage, one sample a call."""

    def __init__(self) -> None:
        self.samples: dict[str, list[float]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body of a ``with`` statement."""
        began = time.perf_counter()
        yield
        self.samples.setdefault(name, []).append((time.perf_counter() - began) * 1e3)

    def time(self, name: str, work: Callable[[], Item]) -> Item:
        """Time one call."""
        with self.stage(name):
            return work()


class StillPose:
    """Poses of people in boxes on one picture, through a key-frame graph.

    Args:
        graph: a spatial graph.
        flip: average with the mirrored crop; its maps are moved by one column for ``msra`` graphs only.
        twice: average with a second look, as the pipeline does it (see :mod:`vipose.runtime.twice`); not with ``flip``.
        refinement: sub-pixel decoding.

    Raises:
        ModelError: a temporal graph, which cannot run on one picture.
        ValueError: ``flip`` and ``twice``.
    """

    def __init__(
        self, graph: PoseGraph, *, flip: bool = False, twice: bool = False, refinement: Refinement = "dark"
    ) -> None:
        if flip and twice:
            raise ValueError("the flip test and a second look exclude each other")
        if graph.metadata.task != "pose-spatial":
            raise ModelError(
                f"'{graph.metadata.network}' needs the frame before and cannot run on single pictures; "
                "give a key-frame graph, or the mode with --sequence"
            )
        self.graph, self.flip, self.twice, self.refinement = graph, flip, twice, refinement
        self.skeleton = graph.metadata.joints
        self._mirror = graph.metadata.mirrored

    @property
    def codec(self) -> Codec:
        """The graph's codec."""
        codec = self.graph.metadata.codec
        assert codec is not None  # the metadata of a pose graph has one
        return codec

    def __call__(
        self, image: npt.NDArray[np.uint8], boxes: FloatArray, clock: StageClock | None = None
    ) -> npt.NDArray[np.float32]:
        """Keypoints [N, K, 3] in picture pixels for boxes [N, 4] (x0, y0, x1, y1) on [H, W, 3] uint8 RGB."""
        clock = clock or StageClock()
        size, convention = self.graph.size, self.codec.convention
        with clock.stage("crop"):
            affines = np.array([crop_affine(box, size, pad=PAD, convention=convention) for box in boxes])
            crops = np.array([crop(image, affine, size) for affine in affines], np.uint8)
            crops = crops.reshape(-1, size[1], size[0], 3)
            again = [second_look(image, box, size, convention) for box in boxes] if self.twice else []
        with clock.stage("pose"):
            heatmaps = self.graph(crops)
            if self.flip:
                mirrored = self.graph(np.ascontiguousarray(crops[:, :, ::-1]))
                heatmaps = merge_flipped(heatmaps, mirrored, self._mirror, shift=convention == "msra")
            if again:
                second = self.graph(np.stack([look.crop for look in again]))
                rows = zip(heatmaps, second, affines, again, strict=True)
                heatmaps = np.stack([average_looks(*row, self._mirror, size, convention) for row in rows])
        with clock.stage("decode"):
            return decode_frame(heatmaps, affines, size, convention, self.refinement, self.codec.blur)


def box_corners(boxes: FloatArray, size: tuple[int, int] | None) -> npt.NDArray[np.float64]:
    """Labelled boxes [N, 4] given as x, y, w, h to x0, y0, x1, y1; clipped to a picture of ``size`` (width, height).

    MPII's are crops about a centre and reach beyond the picture: they are not clipped (size None).
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    if size is None:
        return corners
    width, height = size
    return np.asarray(corners.clip(0, [width - 1, height - 1, width - 1, height - 1]))


def instance_scores(keypoints: FloatArray, box_scores: FloatArray) -> npt.NDArray[np.float64]:
    """Box score times the mean score of the joints above 0.2 (0 without any), [N]; keypoints [N, K, 3]."""
    scores = np.asarray(keypoints, np.float64)[..., 2]
    sure = scores > SCORE_THRESHOLD
    mean = np.where(sure, scores, 0).sum(1) / np.maximum(sure.sum(1), 1)
    return np.asarray(mean * np.asarray(box_scores, np.float64))


def oks_nms(keypoints: FloatArray, scores: FloatArray, boxes: FloatArray, variances: FloatArray) -> list[int]:
    """Greedy suppression by OKS: indices of the poses to keep, best score first.

    Args:
        keypoints: [N, K, 3].
        scores: [N].
        boxes: [N, 4] x0, y0, x1, y1; the padded box is the area.
        variances: [K], ``Skeleton.variances``.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1) * PAD**2
    similarity = oks_matrix(keypoints, keypoints, areas, variances, visible=np.ones((1, 1, 1), bool))
    kept: list[int] = []
    for candidate in np.argsort(-np.asarray(scores), kind="stable"):
        if not kept or similarity[candidate, kept].max() <= NMS_OKS:
            kept.append(int(candidate))
    return kept
