"""Frames with people in known places, as a worker would hand them to the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vipose.app.core.shown import HeatPatch, Shown
from vipose.runtime.skeleton import COCO17
from vipose.runtime.types import FrameResult, PersonResult

__all__ = ["POSE", "person", "shown"]

POSE = np.array([
    (0.50, 0.08), (0.55, 0.06), (0.45, 0.06), (0.60, 0.08), (0.40, 0.08), (0.70, 0.22), (0.30, 0.22), (0.85, 0.38),
    (0.15, 0.38), (0.95, 0.52), (0.05, 0.52), (0.62, 0.52), (0.38, 0.52), (0.64, 0.74), (0.36, 0.74), (0.66, 0.95),
    (0.34, 0.95),
])  # fmt: skip
"""[17, 2] joints of somebody who stands upright, as shares of the box, seen from the front."""


def person(track: int, box: tuple[float, float, float, float], *, score: float = 0.9, **more: Any) -> PersonResult:
    """Somebody who fills ``box`` (frame pixels); every joint has the same score."""
    x0, y0, x1, y1 = box
    points = POSE * [x1 - x0, y1 - y0] + [x0, y0]
    pose = np.column_stack([points, np.full(len(points), score)]).astype(np.float32)
    return PersonResult(track, np.array(box, np.float32), score, pose, more.pop("smoothed", pose), **more)


def shown(
    people: Sequence[PersonResult] = (),
    *,
    size: tuple[int, int] = (400, 200),
    picture: np.ndarray | None = None,
    index: int = 0,
    time_s: float | None = None,
    heat: tuple[HeatPatch, ...] = (),
) -> Shown:
    """A frame of ``size`` (width, height), grey unless ``picture`` is given."""
    if picture is None:
        picture = np.full((size[1], size[0], 3), 90, np.uint8)
    picture.flags.writeable = False
    result = FrameResult(index, index / 25 if time_s is None else time_s, size, tuple(people))
    return Shown(picture, result, COCO17, 0.0, heat=heat)
