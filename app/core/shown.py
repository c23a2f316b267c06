"""What crosses from a worker to the screen: one processed frame, owned by whoever takes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import FrameResult

__all__ = ["HeatPatch", "Shown"]


@dataclass(frozen=True)
class HeatPatch:
    """What propagation hands on for one person, ready to be laid over the frame.

    Attributes:
        person: track id.
        values: [h, w] uint8, 0 = nothing, 255 = the surest cell that a heatmap can have.
        affine: [2, 3] float64, centre of a heatmap cell -> frame pixels (pixel centres lie at integers).
    """

    person: int
    values: npt.NDArray[np.uint8]
    affine: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Shown:
    """One frame as it is shown.

    Attributes:
        picture: [h, w, 3] uint8 RGB, contiguous and read-only; no other thread keeps or changes it. Heads are blurred in it
            already where that is asked for. It may be smaller than ``result.size`` (large video is scaled down for the screen).
        result: what the pipeline said, the very object that is recorded; its coordinates are pixels of ``result.size``.
        skeleton: of the keypoints.
        captured_s: ``time.monotonic()`` when the picture was captured, or was due where a file is played; the age of the
            frame is now minus this.
        fps: frames processed a second, over the last two seconds; 0 where not known yet.
        heat: heatmaps where the view asks for them.
        mode: name of the mode that made the result.
    """

    picture: npt.NDArray[np.uint8]
    result: FrameResult
    skeleton: Skeleton
    captured_s: float
    fps: float = 0.0
    heat: tuple[HeatPatch, ...] = ()
    mode: str = ""
