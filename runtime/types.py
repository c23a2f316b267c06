"""The dataclasses that cross module borders. Frozen; arrays in them are made read-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "Counters",
    "Frame",
    "FrameResult",
    "Kind",
    "PersonResult",
    "SourceInfo",
    "Why",
    "readonly",
]

Kind = Literal["key", "propagated"]
Why = Literal["", "new", "due", "every", "score", "jump", "implausible", "cut", "gap"]
"""Why a person was a key person on a frame: ``new`` track, phase ``due``, period 1 (``every``) or, early, for one of the rest.

Early ones (``score``, ``jump``, ``implausible``, ``cut``, ``gap``) are counted as forced. Propagated people have "".
"""


def readonly(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array itself where it is read-only already, else a read-only copy."""
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


@dataclass(frozen=True)
class SourceInfo:
    """What is known about a source before it is read.

    Attributes:
        name: what the user gave, for messages and results.
        kind: video, images, camera or stream.
        size: width, height of the upright picture in pixels.
        fps: average rate, None where unknown (never used for time stamps).
        frames: frame count that the container claims, None where unknown (never trusted).
        rotation: clockwise degrees that were applied to make it upright.
        audio: whether there is sound to copy.
        live: newest-frame-wins (cameras, streams) instead of every frame.
    """

    name: str
    kind: Literal["video", "images", "camera", "stream"]
    size: tuple[int, int]
    fps: float | None = None
    frames: int | None = None
    rotation: int = 0
    audio: bool = False
    live: bool = False


@dataclass(frozen=True)
class Frame:
    """One picture.

    Attributes:
        index: 0, 1, 2 … of the frames delivered by the decoder (before ``every`` skips any).
        time_s: presentation time from the container or capture clock, seconds; never index / fps.
        image: [H, W, 3] uint8 RGB, upright.
        source: ``SourceInfo.name``.
    """

    index: int
    time_s: float
    image: npt.NDArray[np.uint8]
    source: str = ""


@dataclass(frozen=True)
class PersonResult:
    """One person on one frame.

    Attributes:
        id: track id, 1, 2, …; unique on a frame, never reused in a source.
        box: [4] float32, x0 y0 x1 y1, frame pixels, may reach beyond the frame.
        score: 0..1, detection score carried by the track times keypoint confidence.
        keypoints: [K, 3] float32: x, y (frame pixels), score 0..1, as decoded.
        smoothed: [K, 3] float32: the same after smoothing; equals ``keypoints`` where smoothing is off.
        kind: key (S-ViPNet ran) or propagated (a T-ViPNet ran).
        why: reason of a key frame.
        phase: 0 on a key frame, else t = 1..T.
        swapped: left and right were exchanged by the temporal swap correction.
    """

    id: int
    box: npt.NDArray[np.float32]
    score: float
    keypoints: npt.NDArray[np.float32]
    smoothed: npt.NDArray[np.float32]
    kind: Kind = "key"
    why: Why = ""
    phase: int = 0
    swapped: bool = False

    def __post_init__(self) -> None:
        for name in ("box", "keypoints", "smoothed"):
            object.__setattr__(self, name, readonly(np.asarray(getattr(self, name), np.float32)))


@dataclass(frozen=True)
class Counters:
    """Running totals since the start of the source.

    ``decoded`` and ``dropped`` count frames; ``key``, ``propagated`` and ``forced`` (early keys, part of ``key``) and
    ``swapped`` count people on frames.
    """

    decoded: int = 0
    dropped: int = 0
    key: int = 0
    propagated: int = 0
    forced: int = 0
    swapped: int = 0


@dataclass(frozen=True)
class FrameResult:
    """Everything known about one frame.

    Attributes:
        index, time_s: of the frame.
        size: width, height of the frame.
        people: sorted by id; empty when nobody is there.
        timings: ms per stage (``detect``, ``track``, ``crop``, ``spatial``, ``temporal``, ``decode``, ``smooth``, …).
        counters: totals up to and including this frame.
        provider: what really runs the pose graphs, for example ``cpu``.
    """

    index: int
    time_s: float
    size: tuple[int, int]
    people: tuple[PersonResult, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    counters: Counters = Counters()
    provider: str = "cpu"

    def __post_init__(self) -> None:
        object.__setattr__(self, "timings", MappingProxyType(dict(self.timings)))
