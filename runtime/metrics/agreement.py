"""How far two runs over one clip agree: similarity of matched people, what either lacks, jitter and cost of each.

The usual question is what a temporal mode loses against its key-frame network on every frame, and what it saves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vipose.runtime.metrics.jitter import jitter
from vipose.runtime.metrics.mot import MotFrame, MotScore, assign, mot_score
from vipose.runtime.oks import BODY_AREA, oks_matrix
from vipose.runtime.schedule import EARLY
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import FrameResult, PersonResult

__all__ = [
    "PAIR_OKS", "SURE", "Agreement", "FrameMatch", "PhaseOks", "RunFigures", "RunMatch", "compare_matched", "compare_runs", "match_runs",
]  # fmt: skip

FloatArray = npt.NDArray[np.floating]
SURE = 0.2
"""Joints of the reference from this score on are compared; of a person without any, all."""
PAIR_OKS = 0.1
"""Two people pair from this similarity on: low, so that a pose that drifted counts as drifted and not as missed."""


@dataclass(frozen=True)
class RunFigures:
    """Figures of one run alone, over the frames that both have.

    Attributes:
        people: people on frames.
        key, forced: of them through the key-frame network, and early ones among those.
        jitter: mean second difference as a fraction of the person's size; None without three matched frames in a row.
        total_ms: mean over frames, all stages; None where the file holds no timings.
        pose_ms_per_person: time in pose graphs divided by people; None likewise.
    """

    people: int
    key: int
    forced: int
    jitter: float | None
    total_ms: float | None
    pose_ms_per_person: float | None

    @property
    def forced_share(self) -> float | None:
        """Early ones among the key frames of people."""
        return self.forced / self.key if self.key else None


@dataclass(frozen=True)
class PhaseOks:
    """Matched people of the result by how far they were propagated.

    Attributes:
        phase: 0 for key people, else frames since the person's key frame.
        people: matched ones.
        mean_oks: over them.
    """

    phase: int
    people: int
    mean_oks: float


@dataclass(frozen=True)
class Agreement:
    """Two runs over one clip.

    Attributes:
        frames: frames that both have; ``only_reference`` and ``only_result`` are in one file only.
        matched, missed, extra: people on frames in both, in the reference only, in the result only.
        mean_oks, low_oks: mean and 10th percentile over matched people; None without any.
        phases: the mean by phase of the result, rising; phases without matched people are left out.
        tracking: the result's ids with the reference's taken for the truth.
        reference, result: each run alone.
    """

    frames: int
    only_reference: int
    only_result: int
    matched: int
    missed: int
    extra: int
    mean_oks: float | None
    low_oks: float | None
    phases: tuple[PhaseOks, ...]
    tracking: MotScore
    reference: RunFigures
    result: RunFigures


@dataclass(frozen=True)
class FrameMatch:
    """One frame of two runs.

    Attributes:
        reference, result: the frame in each run.
        similarity: [G, P] OKS of the reference's people with the result's.
        sure: [G, K] joints that count in it, of each person of the reference.
        pairs: matched people, as positions in ``reference.people`` and ``result.people``.
    """

    reference: FrameResult
    result: FrameResult
    similarity: npt.NDArray[np.float64]
    sure: npt.NDArray[np.bool_]
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class RunMatch:
    """Two runs, frame by frame.

    Attributes:
        frames: that both have, by rising index.
        only_reference, only_result: frames in one run only.
        raw: keypoints as decoded were compared, not smoothed ones.
    """

    frames: tuple[FrameMatch, ...]
    only_reference: int
    only_result: int
    raw: bool


@dataclass(frozen=True)
class _Pair:
    """A reference person and its partner on one frame."""

    position: int
    time_s: float
    reference: FloatArray
    result: FloatArray
    size: float
    sure: npt.NDArray[np.bool_]
    oks: float
    phase: int


def match_runs(
    reference: Iterable[FrameResult], result: Iterable[FrameResult], skeleton: Skeleton, *, raw: bool = False
) -> RunMatch:
    """Match the frames of two runs by index, and people of a frame by the Hungarian method on OKS.

    The area in OKS is 0.53 times the reference person's box; pairs reach :data:`PAIR_OKS`.

    Args:
        reference, result: frames of each run.
        skeleton: of both.
        raw: compare keypoints as decoded instead of smoothed.
    """
    left, right = {f.index: f for f in reference}, {f.index: f for f in result}
    common = sorted(left.keys() & right.keys())
    frames = tuple(_match(left[index], right[index], skeleton, raw) for index in common)
    return RunMatch(frames, len(left) - len(common), len(right) - len(common), raw)


def compare_runs(
    reference: Iterable[FrameResult], result: Iterable[FrameResult], skeleton: Skeleton, *, raw: bool = False
) -> Agreement:
    """:func:`match_runs` and the figures of it, see :func:`compare_matched`."""
    return compare_matched(match_runs(reference, result, skeleton, raw=raw))


def compare_matched(runs: RunMatch) -> Agreement:
    """The figures of two matched runs.

    Jitter of both runs is taken over the same joints and frames: those where one reference id and one result id stay
    matched for three frames in a row; its unit is the longer side of the reference person's box.
    """
    tracks: dict[tuple[int, int], list[_Pair]] = {}
    for position, frame in enumerate(runs.frames):
        for a, b in frame.pairs:
            ours, theirs = frame.reference.people[a], frame.result.people[b]
            pair = _Pair(
                position, frame.reference.time_s, _points(ours, runs.raw), _points(theirs, runs.raw), _size(ours),
                frame.sure[a], float(frame.similarity[a, b]), theirs.phase,
            )  # fmt: skip
            tracks.setdefault((ours.id, theirs.id), []).append(pair)
    pairs = [pair for track in tracks.values() for pair in track]
    values = [pair.oks for pair in pairs]
    jitters = _jitters(list(tracks.values()))
    left, right = [frame.reference for frame in runs.frames], [frame.result for frame in runs.frames]
    people = [sum(len(frame.people) for frame in side) for side in (left, right)]
    return Agreement(
        frames=len(runs.frames),
        only_reference=runs.only_reference,
        only_result=runs.only_result,
        matched=len(values),
        missed=people[0] - len(values),
        extra=people[1] - len(values),
        mean_oks=float(np.mean(values)) if values else None,
        low_oks=float(np.percentile(values, 10)) if values else None,
        phases=_phases(pairs),
        tracking=mot_score(
            MotFrame([p.id for p in f.reference.people], [p.id for p in f.result.people], f.similarity)
            for f in runs.frames
        ),
        reference=_figures(left, jitters[0]),
        result=_figures(right, jitters[1]),
    )


def _phases(pairs: Sequence[_Pair]) -> tuple[PhaseOks, ...]:
    by_phase: dict[int, list[float]] = {}
    for pair in pairs:
        by_phase.setdefault(pair.phase, []).append(pair.oks)
    return tuple(PhaseOks(phase, len(values), float(np.mean(values))) for phase, values in sorted(by_phase.items()))


def _match(reference: FrameResult, result: FrameResult, skeleton: Skeleton, raw: bool) -> FrameMatch:
    similarity, sure = _similarity(reference.people, result.people, skeleton, raw)
    return FrameMatch(reference, result, similarity, sure, tuple(assign(similarity, PAIR_OKS)))


def _points(person: PersonResult, raw: bool) -> npt.NDArray[np.float32]:
    return person.keypoints if raw else person.smoothed


def _size(person: PersonResult) -> float:
    x0, y0, x1, y1 = person.box.astype(np.float64)
    return float(max(x1 - x0, y1 - y0, 1.0))


def _similarity(
    reference: Sequence[PersonResult], result: Sequence[PersonResult], skeleton: Skeleton, raw: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """OKS [G, P] and the joints [G, K] of the reference that are compared."""
    joints = len(skeleton)
    ours = np.array([_points(p, raw) for p in reference], np.float64).reshape(-1, joints, 3)
    theirs = np.array([_points(p, raw) for p in result], np.float64).reshape(-1, joints, 3)
    # Scores are those of the raw keypoints in both cases, so that smoothing does not change what is compared.
    scores = np.array([p.keypoints[:, 2] for p in reference]).reshape(-1, joints)
    sure = scores >= SURE
    sure |= ~sure.any(1, keepdims=True)
    boxes = np.array([p.box for p in reference], np.float64).reshape(-1, 4)
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1) * BODY_AREA
    return oks_matrix(theirs, ours, areas, skeleton.variances(), visible=sure[None]).T, sure


def _jitters(tracks: Sequence[Sequence[_Pair]]) -> tuple[float | None, float | None]:
    samples: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    for track in tracks:
        index = np.array([pair.position for pair in track])
        times, sizes = np.array([pair.time_s for pair in track]), np.array([pair.size for pair in track])
        valid = np.array([pair.sure for pair in track])
        samples[0].append(jitter(index, times, np.array([pair.reference for pair in track]), sizes, valid))
        samples[1].append(jitter(index, times, np.array([pair.result for pair in track]), sizes, valid))
    return _mean(samples[0]), _mean(samples[1])


def _mean(parts: Sequence[FloatArray]) -> float | None:
    values = np.concatenate(parts) if parts else np.zeros(0)
    return float(values.mean()) if len(values) else None


def _figures(frames: Sequence[FrameResult], jitter_value: float | None) -> RunFigures:
    people = [person for frame in frames for person in frame.people]
    key = [person for person in people if person.kind == "key"]
    timed = [frame for frame in frames if frame.timings]
    pose = sum(frame.timings.get("spatial", 0.0) + frame.timings.get("temporal", 0.0) for frame in timed)
    posed = sum(len(frame.people) for frame in timed)
    return RunFigures(
        people=len(people),
        key=len(key),
        forced=sum(person.why in EARLY for person in key),
        jitter=jitter_value,
        total_ms=float(np.mean([_total(frame) for frame in timed])) if timed else None,
        pose_ms_per_person=pose / posed if posed else None,
    )


def _total(frame: FrameResult) -> float:
    """All stages of a frame; ``total``, where it is there, is their sum already."""
    return frame.timings["total"] if "total" in frame.timings else sum(frame.timings.values())
