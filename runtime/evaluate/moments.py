"""Matched people of two runs over one clip: ranked by OKS, and chosen so that a row does not show neighbouring frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vipose.runtime.evaluate.ranks import even_places
from vipose.runtime.metrics.agreement import RunMatch
from vipose.runtime.types import PersonResult

__all__ = ["APART_S", "Moment", "rank_moments", "spread_places"]

APART_S = 0.5
"""People of one id that are shown in one row are so many seconds apart, where there are enough of them."""
_SLACK_S = 1e-6  # native files round times to this


@dataclass(frozen=True)
class Moment:
    """Somebody on one frame, in two runs.

    Attributes:
        index, time_s: of the frame.
        reference, result: the person in each run.
        oks: of the two, as :func:`vipose.runtime.metrics.agreement.match_runs` counts it.
    """

    index: int
    time_s: float
    reference: PersonResult
    result: PersonResult
    oks: float


def rank_moments(runs: RunMatch) -> list[Moment]:
    """All matched people whom the result propagated (where it did so at all, else all matched people), worst OKS first.

    Ties keep the order of the clip. People on key frames are left out because they are equal wherever the periods of both
    runs begin alike.
    """
    matched = [
        Moment(
            frame.reference.index, frame.reference.time_s, frame.reference.people[a], frame.result.people[b],
            float(frame.similarity[a, b]),
        )
        for frame in runs.frames for a, b in frame.pairs
    ]  # fmt: skip
    propagated = [moment for moment in matched if moment.result.kind == "propagated"]
    return sorted(propagated or matched, key=lambda moment: moment.oks)


def spread_places(band: Sequence[Moment]) -> list[int]:
    """Places of a stretch of the ranks, rising: near the evenly spaced ones, :data:`APART_S` apart for each id.

    The worst one is always among them. Where a stretch has too few that are so far apart, those that are as far as
    possible from the chosen ones fill the row.

    Args:
        band: ranked, worst first; not empty.
    """
    ids = np.array([moment.reference.id for moment in band])
    times = np.array([moment.time_s for moment in band])
    distance = np.full(len(band), np.inf)  # seconds to the nearest chosen one of the same id
    chosen: list[int] = []

    def choose(place: int) -> None:
        chosen.append(place)
        np.minimum(distance, np.where(ids == ids[place], np.abs(times - times[place]), np.inf), out=distance)
        distance[place] = -1.0

    targets = even_places(band)
    for target in targets:
        free = distance >= APART_S - _SLACK_S
        if free.any():
            choose(int(np.where(free, np.abs(np.arange(len(band)) - target), np.inf).argmin()))
    while len(chosen) < len(targets):
        choose(int(distance.argmax()))
    return sorted(chosen)
