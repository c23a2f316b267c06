"""People as boxes: letterbox, one run, suppression of doubles, back to frame pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import ModelError, UsageError
from vipose.runtime.geometry import box_iou
from vipose.runtime.graphs import Graph, image_input, load_graph
from vipose.runtime.metadata import GraphMetadata, InputSpec
from vipose.runtime.providers import Device, ProviderReport

__all__ = ["Detector", "DetectorConfig", "Letterbox", "letterbox", "suppress"]

Boxes = npt.NDArray[np.float32]
Region = tuple[float, float, float, float]
_MAX_CANDIDATES = 1000
_NO_BOXES = np.empty((0, 5), np.float32)


@dataclass(frozen=True)
class DetectorConfig:
    """What counts as a person.

    Attributes:
        score: least detection score, 0..1.
        iou: boxes that overlap a better one by more than this are doubles, 0..1 (graphs without suppression).
        max_people: the best are kept; 0 = all.
        min_side_px: boxes with a shorter side inside the frame are dropped.
        pixels: about so many does the picture have that the graph sees, for graphs that take any; 0 = as the graph says.
    """

    score: float = 0.3
    iou: float = 0.6
    max_people: int = 0
    min_side_px: float = 2.0
    pixels: int = 0

    def __post_init__(self) -> None:
        for name in ("score", "iou"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise UsageError(f"detector {name} {value} is out of range; give 0 to 1")
        if self.max_people < 0:
            raise UsageError(f"max people {self.max_people} is negative; give 1 or more, or 0 for all")
        if not self.min_side_px >= 0:
            raise UsageError(f"least box side {self.min_side_px} px is negative; give 0 or more")
        if self.pixels < 0:
            raise UsageError(f"detector pixels {self.pixels} is negative; give 1 or more, or 0 for what the graph says")


@dataclass(frozen=True)
class Letterbox:
    """How a picture lies in the network input: resized to ``content``, placed top-left in ``size`` (width, height)."""

    size: tuple[int, int]
    content: tuple[int, int]


@lru_cache(maxsize=64)
def letterbox(spec: InputSpec, width: int, height: int) -> Letterbox:
    """Fit a picture of ``width`` x ``height`` pixels; its aspect ratio is kept to a pixel.

    With a fixed input size the rest is padding. A free input takes the multiples of ``spec.multiple`` that give the least
    padding at about ``spec.pixels`` pixels.
    """
    if spec.width and spec.height:
        size = spec.width, spec.height
    else:
        size = _free_size(spec.multiple, spec.pixels or 416 * 416, width, height)
    scale = min(size[0] / width, size[1] / height)
    return Letterbox(size, (_side(width * scale, size[0]), _side(height * scale, size[1])))


def _side(length: float, limit: int) -> int:
    return max(1, min(limit, round(length)))


def _free_size(multiple: int, pixels: int, width: int, height: int) -> tuple[int, int]:
    most = max(1, pixels // multiple**2)
    ideal = math.sqrt(pixels * width / height) / multiple, math.sqrt(pixels * height / width) / multiple

    def near(value: float) -> range:
        middle = min(max(1, int(value)), most)
        return range(max(1, middle - 1), min(most, middle + 2) + 1)

    def cost(cells: tuple[int, int]) -> float:
        w, h = cells[0] * multiple, cells[1] * multiple
        used = width * height * min(w / width, h / height) ** 2
        return abs(math.log(w * h / pixels)) + 1 - used / (w * h)

    columns, rows = min(((c, r) for c in near(ideal[0]) for r in near(ideal[1])), key=cost)
    return columns * multiple, rows * multiple


def suppress(boxes: Boxes, iou: float) -> npt.NDArray[np.bool_]:
    """Greedy non-maximum suppression.

    Args:
        boxes: [N, 4+], best first.
        iou: a box that overlaps a kept better one by more is dropped.

    Returns:
        [N] bool, True = keep.
    """
    keep = np.ones(len(boxes), bool)
    overlaps = box_iou(boxes[:, :4], boxes[:, :4]) > iou
    for i in range(len(boxes)):
        if keep[i]:
            keep[i + 1:] &= ~overlaps[i, i + 1:]
    return keep


class Detector:
    """Finds people on a picture.

    Args:
        path: a detector graph with metadata.
        config: what counts as a person; the attribute may be set to another one between two pictures, but with the same pixels.
        device, threads: see :func:`vipose.runtime.graphs.load_graph`.

    Raises:
        ModelError: the graph is missing, wrong or no detector.
        UsageError: the graph does not take the pixels of the configuration.

    Example:
        >>> detector = Detector("person-detector.onnx", DetectorConfig(score=0.4))  # doctest: +SKIP
        >>> boxes = detector(image)[:, :4]  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | Path,
        config: DetectorConfig | None = None,
        *,
        device: Device = "auto",
        threads: int = 1,
    ) -> None:
        self.config = config or DetectorConfig()
        self.graph: Graph = load_graph(path, device=device, threads=threads)
        if self.metadata.task != "detect":
            raise ModelError(f"{self.graph.path.name} is a {self.metadata.task} graph; a detector is wanted here")
        self._input = _seeing(self.metadata.input, self.config.pixels, self.graph.path.name)

    @property
    def metadata(self) -> GraphMetadata:
        return self.graph.metadata

    @property
    def provider(self) -> ProviderReport:
        return self.graph.provider

    @property
    def sha256(self) -> str:
        return self.graph.sha256

    def __call__(self, image: npt.NDArray[np.uint8], roi: Region | None = None) -> Boxes:
        """Detect people.

        The picture (or region) of w x h pixels is resized to w' x h' and placed top-left. With pixel centres at integers a
        point x' of the network input is x = (x' + 0.5) w / w' - 0.5 on the picture, y likewise, plus the region's corner.

        Args:
            image: [H, W, 3] uint8 RGB.
            roi: x0, y0, x1, y1 in frame pixels; only this region is searched. It is widened to whole pixels and clipped.

        Returns:
            [N, 5] float32: x0, y0, x1, y1 in frame pixels, clipped to the frame (0..W-1, 0..H-1), and score; best first.

        Raises:
            UsageError: a region outside of the frame.
            ModelError: the run failed.
        """
        x0, y0, part = _region(image, roi)
        height, width = part.shape[:2]
        fit = letterbox(self._input, width, height)
        found = self._run(_place(part, fit, self._input.fill))
        if not len(found):
            return _NO_BOXES.copy()
        scale = np.array([width / fit.content[0], height / fit.content[1]] * 2)
        found[:, :4] = (found[:, :4] + 0.5) * scale - 0.5 + [x0, y0, x0, y0]
        low, high = [x0, y0] * 2, [x0 + width - 1, y0 + height - 1] * 2
        found[:, :4] = found[:, :4].clip(low, high)
        sides = found[:, 2:4] - found[:, :2]
        found = found[(sides >= self.config.min_side_px).all(1)]
        return np.ascontiguousarray(found[: self.config.max_people or None])

    def _run(self, picture: npt.NDArray[np.uint8]) -> Boxes:
        """Boxes in input pixels above the score, best first, without doubles."""
        # A graph with a fixed batch gets copies; only the first is read.
        feed = image_input(np.repeat(picture[None], self.graph.batch or 1, 0), self.metadata.input)
        outputs = self.graph.run({"image": feed})
        boxes, scores = outputs["boxes"][0], outputs["scores"][0]
        # The padding of final boxes has score 0, which must not pass a threshold of 0.
        good = np.flatnonzero((scores >= self.config.score) & (scores > 0))
        order = good[np.argsort(-scores[good], kind="stable")]
        raw = self.metadata.output == "candidates"
        if raw:
            order = order[:_MAX_CANDIDATES]
        found = np.column_stack([boxes[order], scores[order]]).astype(np.float32)
        found = found[(found[:, 2:4] > found[:, :2]).all(1)]
        return found[suppress(found, self.config.iou)] if raw else found


def _seeing(spec: InputSpec, pixels: int, name: str) -> InputSpec:
    """The input with another number of pixels (0: its own); raises UsageError for a graph of one size."""
    if not pixels:
        return spec
    if spec.width and spec.height:
        raise UsageError(
            f"{name} sees pictures of {spec.width}x{spec.height} pixels and no others; leave --detector-pixels out, or take "
            "another detector"
        )
    return replace(spec, pixels=pixels)


def _region(
    image: npt.NDArray[np.uint8], roi: Region | None
) -> tuple[int, int, npt.NDArray[np.uint8]]:
    """Corner and pixels of a region; the whole picture without one."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"picture {image.dtype} {image.shape}: want uint8 [H, W, 3]")
    if roi is None:
        return 0, 0, image
    height, width = image.shape[:2]
    x0, y0 = max(0, math.floor(roi[0])), max(0, math.floor(roi[1]))
    x1, y1 = min(width - 1, math.ceil(roi[2])), min(height - 1, math.ceil(roi[3]))
    if x1 < x0 or y1 < y0:
        raise UsageError(f"region {tuple(roi)} lies outside of the {width}x{height} frame; give x0,y0,x1,y1 inside it")
    return x0, y0, image[y0: y1 + 1, x0: x1 + 1]


def _place(image: npt.NDArray[np.uint8], fit: Letterbox, fill: int) -> npt.NDArray[np.uint8]:
    resized = image
    if fit.content != (image.shape[1], image.shape[0]):
        resized = np.asarray(cv2.resize(image, fit.content, interpolation=cv2.INTER_LINEAR), np.uint8)
    if fit.content == fit.size:
        return resized
    out = np.full((fit.size[1], fit.size[0], 3), fill, np.uint8)
    out[: fit.content[1], : fit.content[0]] = resized
    return out
