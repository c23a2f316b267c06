"""What is known about the speed of a session: a summary of the last seconds, and one column a frame.

All times are those of ``time.monotonic()``. What is not known is None or NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from vipose.runtime.types import Counters

__all__ = [
    "ALL_STAGES",
    "EARLY_REASONS",
    "OTHER",
    "REASONS",
    "STAGES",
    "Columns",
    "Spread",
    "StageFigure",
    "Summary",
    "quantile",
]

STAGES = ("detect", "track", "crop", "spatial", "temporal", "decode", "swap", "smooth")
"""Stages in the order in which the pipeline runs them."""
OTHER = "other"
"""What ``total`` has beyond the stages: deciding who is key, and any stage that has no name here."""
ALL_STAGES = (*STAGES, OTHER)
EARLY_REASONS = ("score", "jump", "implausible", "cut", "gap")
REASONS = (*EARLY_REASONS, "new", "due", "every")
"""Why somebody was a key person; the early ones first."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """Median over the recent seconds and 95th percentile over the whole window."""

    median: float
    p95: float


@dataclass(frozen=True)
class StageFigure:
    """One stage.

    Attributes:
        stage: its name.
        ms: over those frames on which it ran; None where it ran on none.
        share: of frames on which it ran, 0..1; None where there are no figures.
    """

    stage: str
    ms: Spread | None
    share: float | None


@dataclass(frozen=True)
class Summary:
    """What the last seconds were like; None is "not known".

    Attributes:
        recent_s: medians, the frame rate and shares of stages are over so many seconds before the newest frame.
        window_s: 95th percentiles, the drop rate and counts of people are over so many seconds.
        frames: shown frames in the window.
        unseen: frames in the window that were processed but never came to the screen; they have no column.
        fps: processed frames a second.
        age_ms: from the capture of a frame to its first painting.
        total_ms: the pipeline, a frame.
        stages: in the order of the pipeline, then :data:`OTHER`.
        dropped: frames since the start that were never processed; ``drop_rate`` is those a second.
        people, people_key, people_propagated: on the newest frame.
        key, propagated: people on frames in the window; ``reasons`` says why they were key.
        totals: counters of the newest frame, as they are recorded.
        provider, mode: what ran the newest frame.
    """

    recent_s: float
    window_s: float
    frames: int = 0
    unseen: int = 0
    fps: float | None = None
    age_ms: Spread | None = None
    total_ms: Spread | None = None
    stages: tuple[StageFigure, ...] = tuple(StageFigure(stage, None, None) for stage in ALL_STAGES)
    dropped: int | None = None
    drop_rate: float | None = None
    people: int | None = None
    people_key: int | None = None
    people_propagated: int | None = None
    key: int = 0
    propagated: int = 0
    reasons: Mapping[str, int] = field(default_factory=lambda: MappingProxyType(dict.fromkeys(REASONS, 0)))
    totals: Counters | None = None
    provider: str = ""
    mode: str = ""

    @property
    def forced(self) -> int:
        """Early key people in the window."""
        return sum(self.reasons[reason] for reason in EARLY_REASONS)

    @property
    def key_share(self) -> float | None:
        """Of people on frames in the window, 0..1."""
        people = self.key + self.propagated
        return self.key / people if people else None


@dataclass(frozen=True)
class Columns:
    """One row a frame, oldest first; every array is read-only and owned.

    Attributes:
        window_s: length of the plots' time axis, which ends at the newest frame.
        recent_s: what medians are taken over.
        seen_s: [N] when the frame came to the screen's thread, ascending.
        begins_s: [N] end of the frame before it in the same unbroken run: a column lies between the two.
        segment: [N] number of the unbroken run; pauses, jumps and other modes begin a new one.
        index, time_s: [N] of the frame in its source.
        age_ms, total_ms: [N], NaN where not known.
        stages_ms: [N, len(STAGES) + 1] in the order of STAGES, then OTHER; NaN where not known.
        people, key, propagated: [N] people.
        reasons: [N, len(REASONS)] key people by reason.
        processed, dropped: [N] counters of frames.
    """

    window_s: float
    recent_s: float
    seen_s: Floats
    begins_s: Floats
    segment: Floats
    index: Floats
    time_s: Floats
    age_ms: Floats
    total_ms: Floats
    stages_ms: Floats
    people: Floats
    key: Floats
    propagated: Floats
    reasons: Floats
    processed: Floats
    dropped: Floats

    def __len__(self) -> int:
        return len(self.seen_s)

    @property
    def early(self) -> Floats:
        """[N] key people who came before they were due."""
        return np.asarray(self.reasons[:, : len(EARLY_REASONS)].sum(axis=1))

    def median_totals(self, most: int = 80) -> list[npt.NDArray[np.float64]]:
        """The course of the total: at some frames, the median of the total over the ``recent_s`` before each.

        At the start of a run, and of the window, it is over less than that, but at least over a quarter.

        Args:
            most: about so many points.

        Returns:
            One array [M, 2] of times and milliseconds for each unbroken run that has times and is long enough.
        """
        lines: list[npt.NDArray[np.float64]] = []
        for number in np.unique(self.segment):
            rows = np.flatnonzero((self.segment == number) & np.isfinite(self.total_ms))
            if not len(rows):
                continue
            seen, total = self.seen_s[rows], self.total_ms[rows]
            begins = int(np.searchsorted(seen, seen[0] + self.recent_s / 4))  # a median of a frame or two says nothing
            if begins == len(rows):
                continue
            points = min(len(rows) - begins, most)
            ends = np.unique(np.linspace(begins, len(rows) - 1, points).round().astype(np.intp))
            starts = np.searchsorted(seen, seen[ends] - self.recent_s, "right")
            lines.append(
                np.array([(seen[b], quantile(total[a : b + 1], 0.5)) for a, b in zip(starts, ends, strict=True)])
            )
        return lines


def quantile(values: Floats, share: float) -> float:
    """As numpy's linear one on [N] known values, N > 0; many times quicker for a few hundred."""
    ordered = np.sort(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (at - low) * (ordered[high] - ordered[low]))
