"""Tracking scores: MOTA and identity switches (CLEAR MOT, Bernardin and Stiefelhagen 2008), IDF1 (Ristani et al. 2016)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

__all__ = ["MotFrame", "MotScore", "assign", "mot_score", "total"]


@dataclass(frozen=True)
class MotFrame:
    """One frame: ids of the labelled people [G], ids of the tracked ones [P] and their similarity [G, P] in 0..1."""

    truth: Sequence[int]
    tracked: Sequence[int]
    similarity: npt.NDArray[np.floating]


@dataclass(frozen=True)
class MotScore:
    """Counts over all frames of one or more sequences; scores are derived.

    Attributes:
        truths, tracked: people on frames, as labelled and as put out.
        matches, misses, extras: pairs found, labelled ones without partner, tracked ones without partner.
        switches: matches whose id differs from the one the labelled person was last matched with.
        identity_matches: pairs on frames under the best one-to-one assignment of whole tracks (IDTP).
    """

    truths: int = 0
    tracked: int = 0
    matches: int = 0
    misses: int = 0
    extras: int = 0
    switches: int = 0
    identity_matches: int = 0

    @property
    def mota(self) -> float | None:
        """1 - (misses + extras + switches) / truths; below 0 where the errors outnumber the people, None without any."""
        return 1 - (self.misses + self.extras + self.switches) / self.truths if self.truths else None

    @property
    def idf1(self) -> float | None:
        """2 IDTP / (truths + tracked); None where both are 0."""
        both = self.truths + self.tracked
        return 2 * self.identity_matches / both if both else None


def total(scores: Iterable[MotScore]) -> MotScore:
    """Sum of the counts of several sequences (ids of different sequences have nothing to do with each other)."""
    rows = list(scores)
    return MotScore(**{f.name: sum(getattr(row, f.name) for row in rows) for f in fields(MotScore)})


def assign(similarity: npt.NDArray[np.floating], threshold: float) -> list[tuple[int, int]]:
    """One-to-one pairs (row, column) of highest total similarity among those that reach ``threshold`` (Hungarian)."""
    if similarity.size == 0:
        return []
    # Pairs below the gate are worth nothing, so they never displace one above it.
    gated = np.where(similarity >= threshold, similarity, 0.0)
    rows, columns = linear_sum_assignment(gated, maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if similarity[r, c] >= threshold]


def mot_score(frames: Iterable[MotFrame], threshold: float = 0.5) -> MotScore:
    """CLEAR MOT and identity scores of one sequence.

    A labelled person keeps the track it was last matched with while their similarity reaches the threshold; the others
    are assigned by the Hungarian method.
    """
    last: dict[int, tuple[int, int]] = {}  # labelled id -> (tracked id, frame of the match)
    together: Counter[tuple[int, int]] = Counter()
    counts: Counter[str] = Counter()
    for number, frame in enumerate(frames):
        pairs = _match(frame, last, threshold)
        for t, p in pairs:
            person, track = frame.truth[t], frame.tracked[p]
            counts["switches"] += person in last and last[person][0] != track
            last[person] = (track, number)
        counts["truths"] += len(frame.truth)
        counts["tracked"] += len(frame.tracked)
        counts["matches"] += len(pairs)
        for t, p in np.argwhere(np.asarray(frame.similarity) >= threshold):
            together[frame.truth[t], frame.tracked[p]] += 1
    return MotScore(
        truths=counts["truths"],
        tracked=counts["tracked"],
        matches=counts["matches"],
        misses=counts["truths"] - counts["matches"],
        extras=counts["tracked"] - counts["matches"],
        switches=counts["switches"],
        identity_matches=_identity_matches(together),
    )


def _match(frame: MotFrame, last: dict[int, tuple[int, int]], threshold: float) -> list[tuple[int, int]]:
    similarity = np.array(frame.similarity, np.float64).reshape(len(frame.truth), len(frame.tracked))
    column = {track: p for p, track in enumerate(frame.tracked)}
    pairs: list[tuple[int, int]] = []
    # The most recent match first: two people may have had the same track, one after the other.
    for t in sorted((t for t, person in enumerate(frame.truth) if person in last), key=lambda t: -last[frame.truth[t]][1]):
        p = column.get(last[frame.truth[t]][0])
        if p is not None and similarity[t, p] >= threshold and p not in {taken for _, taken in pairs}:
            pairs.append((t, p))
    for t, p in pairs:
        similarity[t, :] = similarity[:, p] = -1.0
    return pairs + assign(similarity, threshold)


def _identity_matches(together: Counter[tuple[int, int]]) -> int:
    people = sorted({person for person, _ in together})
    tracks = sorted({track for _, track in together})
    overlap = np.zeros((len(people), len(tracks)), np.int64)
    for (person, track), frames in together.items():
        overlap[people.index(person), tracks.index(track)] = frames
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    return int(overlap[rows, columns].sum())
