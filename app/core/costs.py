"""What two modes cost on the same frames, and how far their people agree: figures over the last seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vipose.runtime.metrics.agreement import compare_runs
from vipose.runtime.schedule import EARLY
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import FrameResult

__all__ = ["LEAST_FRAMES", "WARM_UP_FRAMES", "WINDOW_S", "Agreed", "CompareFigures", "CostWindow", "Costs", "cost_ratio"]

WINDOW_S = 10.0
"""Figures are taken over the frames of so many seconds up to the newest one."""
LEAST_FRAMES = 60
"""Of a slow mode at least so many frames are kept, so that a percentile means something."""
WARM_UP_FRAMES = 4
"""The first frames do not count: each graph of a mode reserves its memory the first time that it runs."""


@dataclass(frozen=True)
class Costs:
    """What one mode cost. None where nothing was measured yet.

    Attributes:
        frames: frames that were measured.
        median_ms, p95_ms, mean_ms: time of all stages together, a frame.
        person_ms: time in pose networks divided by people (as ``vipose evaluate --against`` has it).
        key_share: share of poses that came from the key-frame network.
        early: key poses that were made early, because a propagated one was not good enough.
        people: on the newest frame.
        mean_people: a frame.
    """

    frames: int = 0
    median_ms: float | None = None
    p95_ms: float | None = None
    mean_ms: float | None = None
    person_ms: float | None = None
    key_share: float | None = None
    early: int = 0
    people: int = 0
    mean_people: float | None = None

    @property
    def alone_fps(self) -> float | None:
        """Frames a second that the mode could hold with nothing beside it.

        From the mean: the median frame of a mode with key frames is a propagated one, and would promise too much.
        """
        return 1000 / self.mean_ms if self.mean_ms else None


@dataclass(frozen=True)
class Agreed:
    """How far the people of two modes agree.

    Attributes:
        matched, only_left, only_right: people on frames: found by both, by one of them only.
        mean_oks: object keypoint similarity of the matched ones, 0..1; None without any.
    """

    matched: int = 0
    only_left: int = 0
    only_right: int = 0
    mean_oks: float | None = None


@dataclass(frozen=True)
class CompareFigures:
    """Both modes over the same frames; ``agreed`` is None where their joints differ."""

    left: Costs = field(default_factory=Costs)
    right: Costs = field(default_factory=Costs)
    agreed: Agreed | None = None

    @property
    def ratio(self) -> float | None:
        """Time of the right mode over that of the left one, means of the same frames."""
        return cost_ratio(self.left, self.right)


def cost_ratio(left: Costs, right: Costs) -> float | None:
    """Mean time of ``right`` over that of ``left``; None where either is not known."""
    return right.mean_ms / left.mean_ms if right.mean_ms is not None and left.mean_ms else None


@dataclass(frozen=True)
class _Cost:
    """What is kept of one frame of one mode; times in ms."""

    total: float
    pose: float
    people: int
    key: int
    early: int


@dataclass(frozen=True)
class _Entry:
    now_s: float
    left: _Cost
    right: _Cost
    agreed: Agreed | None


class CostWindow:
    """Takes the results of both modes on each frame. Not safe for threads: one thread owns it."""

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque()
        self._people = (0, 0)
        self._ignored = 0

    def clear(self) -> None:
        """Begin again, because one of the modes is another one now."""
        self._entries.clear()
        self._people = (0, 0)
        self._ignored = 0

    def add(self, left: FrameResult, right: FrameResult, skeleton: Skeleton | None, now_s: float) -> None:
        """Take in one frame.

        Args:
            left, right: of the same frame.
            skeleton: of both; None where their joints differ, then nothing is said of agreement.
            now_s: any clock that goes on.
        """
        self._people = (len(left.people), len(right.people))
        if self._ignored < WARM_UP_FRAMES:
            self._ignored += 1
            return
        agreed = None if skeleton is None else _agreed(left, right, skeleton)
        self._entries.append(_Entry(now_s, _cost(left), _cost(right), agreed))
        while len(self._entries) > LEAST_FRAMES and self._entries[0].now_s < now_s - WINDOW_S:
            self._entries.popleft()

    def figures(self) -> CompareFigures:
        """What the frames of the window say."""
        left, right = ([getattr(entry, side) for entry in self._entries] for side in ("left", "right"))
        agreed = [entry.agreed for entry in self._entries if entry.agreed is not None]
        return CompareFigures(
            _costs(left, self._people[0]), _costs(right, self._people[1]), _total(agreed) if agreed else None
        )


def _cost(result: FrameResult) -> _Cost:
    timings = result.timings
    return _Cost(
        total=timings.get("total", 0.0),
        pose=timings.get("spatial", 0.0) + timings.get("temporal", 0.0),
        people=len(result.people),
        key=sum(person.kind == "key" for person in result.people),
        early=sum(person.why in EARLY for person in result.people),
    )


def _costs(entries: Sequence[_Cost], people: int) -> Costs:
    if not entries:
        return Costs(people=people)
    totals = np.array([entry.total for entry in entries])
    posed = sum(entry.people for entry in entries)
    return Costs(
        frames=len(entries),
        median_ms=float(np.median(totals)),
        p95_ms=float(np.percentile(totals, 95)),
        mean_ms=float(totals.mean()),
        person_ms=sum(entry.pose for entry in entries) / posed if posed else None,
        key_share=sum(entry.key for entry in entries) / posed if posed else None,
        early=sum(entry.early for entry in entries),
        people=people,
        mean_people=posed / len(entries),
    )


def _agreed(left: FrameResult, right: FrameResult, skeleton: Skeleton) -> Agreed:
    found = compare_runs([left], [right], skeleton)
    return Agreed(found.matched, found.missed, found.extra, found.mean_oks)


def _total(frames: Sequence[Agreed]) -> Agreed:
    matched = sum(frame.matched for frame in frames)
    similar = sum(frame.mean_oks * frame.matched for frame in frames if frame.mean_oks is not None)
    return Agreed(
        matched=matched,
        only_left=sum(frame.only_left for frame in frames),
        only_right=sum(frame.only_right for frame in frames),
        mean_oks=similar / matched if matched else None,
    )
