"""The pipeline: one frame in, one result out. The only module that knows the order of the stages.

It knows no threads of its caller, no Qt and no files, and no decision depends on the clock on the wall: the same frames always
give the same results.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from vipose.runtime.codec import Refinement
from vipose.runtime.cut import CutDetector
from vipose.runtime.errors import UsageError
from vipose.runtime.propagate import Look, PoseNetwork, Propagator
from vipose.runtime.schedule import EARLY, Decision, ScheduleConfig, Scheduler
from vipose.runtime.smooth import OneEuro, SmoothConfig
from vipose.runtime.swap import SwapCorrector
from vipose.runtime.track import Track, TrackConfig, Tracker
from vipose.runtime.types import Counters, Frame, FrameResult, PersonResult, Why
from vipose.runtime.watch import PoseWatch

__all__ = ["Networks", "Pipeline", "PipelineConfig", "person_score"]

_STAGES = ("detect", "track", "crop", "spatial", "temporal", "decode", "swap", "smooth", "total")


class Networks(Protocol):
    """The part of a mode that the pipeline uses (see ``modes.Mode``)."""

    @property
    def detector(self) -> Callable[..., npt.NDArray[np.float32]] | None: ...

    @property
    def spatial(self) -> PoseNetwork: ...

    @property
    def temporal(self) -> Sequence[PoseNetwork]: ...

    @property
    def period(self) -> int: ...

    @property
    def provider(self) -> Any: ...


@dataclass(frozen=True)
class PipelineConfig:
    """Options of the pipeline.

    Attributes:
        period: a key frame every so many frames; None takes the mode's, 1 the key network on every frame.
        max_keys: deadline mode, see ``ScheduleConfig.max_keys``; 0 = no limit.
        max_people: at most so many people are followed.
        score_threshold: a person counts from this detection score on.
        detect_every, detect_every_s: the detector runs at least so often, whichever comes first; in frames and seconds.
        doubt_s: with nobody in sight, or somebody in doubt, it runs again after this time.
        roi: x0, y0, x1, y1 in pixels of the upright frame; only people whose box centre lies in it.
        max_lost_s: how long somebody who is not seen keeps the id.
        refinement: of decoding: dark, quarter or none.
        twice: the key-frame network looks at everybody twice, see :mod:`vipose.runtime.twice`: more accurate, at twice its cost.
        swap: correct exchanged left and right.
        smoothing: causal smoothing; switch it off where ``ZeroPhase`` follows.
        smoothing_strength: 1 is the default, 2 smooths more, 0.5 less.

    Raises:
        UsageError: a value is out of range.
    """

    period: int | None = None
    max_keys: int = 0
    max_people: int = 20
    score_threshold: float = 0.3
    detect_every: int = 10
    detect_every_s: float = 0.5
    doubt_s: float = 0.1
    roi: tuple[float, float, float, float] | None = None
    max_lost_s: float = 1.5
    refinement: Refinement = "dark"
    twice: bool = False
    swap: bool = True
    smoothing: bool = True
    smoothing_strength: float = 1.0

    def __post_init__(self) -> None:
        def need(good: bool, name: str, allowed: str) -> None:
            if not good:
                value = getattr(self, name)
                raise UsageError(f"{name} {value!r} is not allowed ({allowed}); change it or leave it out")

        need(self.period is None or self.period >= 1, "period", "1 or more frames")
        need(self.max_keys >= 0, "max_keys", "0 or more people")
        need(self.max_people >= 1, "max_people", "1 or more people")
        need(0 <= self.score_threshold <= 1, "score_threshold", "0 to 1")
        need(self.detect_every >= 1, "detect_every", "1 or more frames")
        need(0 < self.detect_every_s < math.inf, "detect_every_s", "above 0 seconds")
        need(0 <= self.doubt_s < math.inf, "doubt_s", "0 or more seconds")
        need(0 <= self.max_lost_s < math.inf, "max_lost_s", "0 or more seconds")
        need(self.refinement in ("dark", "quarter", "none"), "refinement", "dark, quarter or none")
        need(0 < self.smoothing_strength < math.inf, "smoothing_strength", "above 0")
        if self.roi is not None:
            x0, y0, x1, y1 = self.roi
            need(all(map(math.isfinite, self.roi)) and x0 < x1 and y0 < y1, "roi", "x0,y0,x1,y1 with x0 < x1 and y0 < y1")


def person_score(detection: float, keypoints: npt.NDArray[np.floating]) -> float:
    """Detection score times the mean score of the joints of [K, 3] that reach 0.2 (0 where none does)."""
    scores = np.asarray(keypoints)[:, 2]
    sure = scores[scores >= 0.2]
    return float(np.clip(detection * sure.mean(), 0, 1)) if len(sure) else 0.0


class Pipeline:
    """Frames of ONE source, in order, to people with ids.

    Args:
        mode: networks and detector.
        config: options.

    Raises:
        UsageError: the period does not fit the mode, or there is no detector.
        ModelError: the mode's graphs do not fit each other.

    Example:
        >>> pipeline = Pipeline(load_mode("t-vipnas"))  # doctest: +SKIP
        >>> people = [pipeline.process(frame).people for frame in source]  # doctest: +SKIP
    """

    def __init__(self, mode: Networks, config: PipelineConfig | None = None) -> None:
        self.config = config = config or PipelineConfig()
        if mode.detector is None:
            raise UsageError("this mode has no detector, so nobody can be found; load it with a detector")
        self._detector = mode.detector
        self._provider = str(getattr(mode.provider, "running", mode.provider))
        self._mode_period = mode.period
        self._propagator = Propagator(mode, config.refinement, twice=config.twice)
        skeleton = self._propagator.skeleton
        self._tracker = Tracker(_track_config(config), skeleton)
        self.scheduler = Scheduler(ScheduleConfig(_period(config, self._mode_period, self._propagator.phases), config.max_keys))
        self._watch = PoseWatch(skeleton)
        self._swap = SwapCorrector(skeleton)
        self._smooth = OneEuro(SmoothConfig(strength=config.smoothing_strength))
        self._cut = CutDetector()
        self._counters = Counters()
        self._since_detection: tuple[int, float] | None = None  # frames, seconds
        self._timings: dict[str, float] = {}

    @property
    def counters(self) -> Counters:
        """Totals up to the last frame."""
        return self._counters

    def heatmaps(self, track_id: int) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.float32]] | None:
        """What is handed on from the last frame for a person: affine [2, 3] frame -> input, heatmaps [K, h, w]; or None."""
        serial = next((t.serial for t in self._tracker.shown if t.id == track_id), 0)
        return self._propagator.heatmaps(serial)

    def reconfigure(self, config: PipelineConfig) -> None:
        """Go on with other options; people keep their ids and heatmaps. Call it between two frames.

        Raises:
            UsageError: the period does not fit the networks; the options in use stay.
        """
        schedule = ScheduleConfig(_period(config, self._mode_period, self._propagator.phases), config.max_keys)
        if config.smoothing_strength != self.config.smoothing_strength:
            self._smooth.config = SmoothConfig(strength=config.smoothing_strength)
        self.config = config
        self.scheduler.reconfigure(schedule)
        self._tracker.reconfigure(_track_config(config))
        self._propagator.refinement, self._propagator.twice = config.refinement, config.twice

    def exchange(self, mode: Networks) -> None:
        """Go on with other networks of the same skeleton: people keep their ids, and all are key people on the next frame.

        Raises:
            UsageError: no detector, other joints, or the period does not fit; the networks in use stay.
            ModelError: the mode's graphs do not fit each other.
        """
        propagator = Propagator(mode, self.config.refinement, twice=self.config.twice)
        if mode.detector is None or propagator.skeleton != self._propagator.skeleton:
            raise UsageError("these networks have no detector or other joints; begin a new pipeline with them")
        schedule = ScheduleConfig(_period(self.config, mode.period, propagator.phases), self.config.max_keys)
        self._propagator, self._mode_period, self._detector = propagator, mode.period, mode.detector
        self._provider = str(getattr(mode.provider, "running", mode.provider))
        self.scheduler.forget(set())
        self.scheduler.reconfigure(schedule)
        self._watch = PoseWatch(propagator.skeleton)  # what is a good score for one network is a poor one for another

    def process(self, frame: Frame) -> FrameResult:
        """Find, follow and pose everybody on the next frame.

        Raises:
            ValueError: the image is not [H, W, 3] uint8.
            ModelError: a graph failed.
        """
        image = frame.image
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise ValueError(f"frame {frame.index} is {image.dtype} {image.shape}: want uint8 [H, W, 3]")
        size = (image.shape[1], image.shape[0])
        self._timings = dict.fromkeys(_STAGES, 0.0)
        self._propagator.spent_ms = {"spatial": 0.0, "temporal": 0.0}
        with self._timed("total"):
            with self._timed("track"):
                cut = self._cut(image)
                dt, gap = self._tracker.advance(frame.time_s, size)
            if self._detection_due(dt, now=cut or gap):
                self._detect(image, cut=cut)
            watched = self._tracker.watched
            people = self._people(frame, watched, dt, self._early(watched, cut, gap))
        self._timings |= self._propagator.spent_ms
        return FrameResult(frame.index, frame.time_s, size, people, self._timings, self._counters, self._provider)

    # Detection

    def _detection_due(self, dt: float, *, now: bool) -> bool:
        if self._since_detection is None or now:
            return True
        frames, seconds = self._since_detection[0] + 1, self._since_detection[1] + dt
        self._since_detection = frames, seconds
        config = self.config
        if frames >= config.detect_every or seconds >= config.detect_every_s - 1e-6:
            return True
        asked = not self._tracker.shown or self._tracker.doubtful
        return asked and seconds >= config.doubt_s - 1e-6

    def _detect(self, image: npt.NDArray[np.uint8], *, cut: bool) -> None:
        with self._timed("detect"):
            found = np.asarray(self._search(image), np.float32).reshape(-1, 5)
        with self._timed("track"):
            self._tracker.update(found, cut=cut)
        self._since_detection = 0, 0.0

    def _search(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The detector on the frame, or on the region of interest and a little around it."""
        if self.config.roi is None:
            return self._detector(image)
        x0, y0, x1, y1 = self.config.roi
        height, width = image.shape[:2]
        if x0 > width - 1 or y0 > height - 1 or x1 < 0 or y1 < 0:
            raise UsageError(f"roi {x0:g},{y0:g},{x1:g},{y1:g} lies outside of the {width}x{height} frame; give a region in it")
        edge_x, edge_y = 0.15 * (x1 - x0), 0.15 * (y1 - y0)
        found = self._detector(image, (x0 - edge_x, y0 - edge_y, x1 + edge_x, y1 + edge_y))
        found = np.asarray(found, np.float32).reshape(-1, 5)
        x, y = (found[:, 0] + found[:, 2]) / 2, (found[:, 1] + found[:, 3]) / 2
        return found[(x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)]

    # Poses

    def _early(self, watched: list[Track], cut: bool, gap: bool) -> dict[int, Why]:
        """Reasons for key frames that are known before any pose network has run."""
        reason: Why = "cut" if cut else "gap" if gap else ""
        early: dict[int, Why] = {}
        for track in watched:
            if self._propagator.heatmaps(track.serial) is None:
                continue  # new: the scheduler says so itself
            if reason:
                early[track.serial] = reason
            elif track.jumped:
                early[track.serial] = "jump"
            track.jumped = False
        return early

    def _people(
        self, frame: Frame, watched: list[Track], dt: float, early: dict[int, Why]
    ) -> tuple[PersonResult, ...]:
        """Pose everybody who is watched; those who turn out to be people are the result. Stages know them by serial number."""
        size = (frame.image.shape[1], frame.image.shape[0])
        decisions = self.scheduler.plan([t.serial for t in watched], early)
        looks = self._look(frame.image, [(t.serial, t.box, decisions[t.serial].phase) for t in watched], size)
        looks = self._look_again(frame.image, watched, looks, decisions)
        with self._timed("swap"):
            swapped = self._correct(frame.time_s, watched, looks, decisions)
        with self._timed("track"):
            self._tracker.observe({look.person: look.keypoints for look in looks})
            shown = {t.serial: t for t in self._tracker.shown}
            looks = [look for look in looks if look.person in shown]
            for look in looks:
                self._watch.learn(look.person, look.keypoints, dt, key=look.phase == 0)
        self._propagator.keep(looks)
        alive = {look.person for look in looks}
        for memory in (self.scheduler, self._watch, self._swap):
            memory.forget(alive)
        with self._timed("smooth"):
            people = self._results(frame.time_s, shown, looks, decisions, swapped)
        self._count(people)
        return people

    def _look(
        self, image: npt.NDArray[np.uint8], people: list[tuple[int, npt.NDArray[np.float64], int]], size: tuple[int, int]
    ) -> list[Look]:
        with self._timed("crop"):
            looks = self._propagator.prepare(image, people)
        self._propagator.run(looks)
        with self._timed("decode"):
            self._propagator.decode(looks, size)
        return looks

    def _look_again(
        self, image: npt.NDArray[np.uint8], watched: list[Track], looks: list[Look], decisions: dict[int, Decision]
    ) -> list[Look]:
        """The key network on this very frame for those whose propagated pose is not good enough."""
        again = []
        for track, look in zip(watched, looks, strict=True):
            if look.phase == 0:
                continue
            predicted = track.predicted(len(look.keypoints)) if track.keypoints is not None else None
            why = self._watch.judge(track.serial, look.keypoints, predicted, track.kalman.size)
            if why:
                decisions[track.serial] = self.scheduler.promote(track.serial, why)
                again.append((track.serial, track.box, 0))
        if not again:
            return looks
        better = {look.person: look for look in self._look(image, again, (image.shape[1], image.shape[0]))}
        return [better.get(look.person, look) for look in looks]

    def _correct(
        self, time_s: float, watched: list[Track], looks: list[Look], decisions: dict[int, Decision]
    ) -> set[int]:
        """Exchange left and right where they were exchanged, in heatmaps too, so that the fault is not propagated."""
        swapped: set[int] = set()
        if not self.config.swap:
            return swapped
        for track, look in zip(watched, looks, strict=True):
            key = decisions[track.serial].kind == "key"
            order = self._swap.correct(track.serial, look.keypoints, track.kalman.size, time_s, key=key)
            if order is not None:
                look.keypoints, look.heatmaps = look.keypoints[order], look.heatmaps[order]
                swapped.add(track.serial)
        return swapped

    def _results(
        self,
        time_s: float,
        shown: dict[int, Track],
        looks: list[Look],
        decisions: dict[int, Decision],
        swapped: set[int],
    ) -> tuple[PersonResult, ...]:
        poses = np.stack([look.keypoints for look in looks]) if looks else np.empty((0, 1, 3), np.float32)
        smooth: npt.NDArray[np.floating] = poses
        if self.config.smoothing:
            sizes = np.array([shown[look.person].kalman.size for look in looks])
            smooth = self._smooth([look.person for look in looks], poses, sizes, time_s)
        people = []
        for look, smoothed in zip(looks, smooth, strict=True):
            track, decision = shown[look.person], decisions[look.person]
            people.append(PersonResult(
                track.id, track.box.astype(np.float32), person_score(track.carried, look.keypoints), look.keypoints,
                smoothed.astype(np.float32), decision.kind, decision.why, decision.phase, look.person in swapped,
            ))  # fmt: skip
        return tuple(sorted(people, key=lambda p: p.id))

    # Book-keeping

    def _count(self, people: tuple[PersonResult, ...]) -> None:
        old = self._counters
        self._counters = replace(
            old,
            decoded=old.decoded + 1,
            key=old.key + sum(p.kind == "key" for p in people),
            propagated=old.propagated + sum(p.kind == "propagated" for p in people),
            forced=old.forced + sum(p.why in EARLY for p in people),
            swapped=old.swapped + sum(p.swapped for p in people),
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._timings[stage] += (time.perf_counter() - began) * 1e3


def _period(config: PipelineConfig, usual: int, phases: int) -> int:
    """The period that is asked for, or the mode's own; raises UsageError where there are too few temporal graphs for it."""
    period = config.period or usual
    if period > phases + 1:
        raise UsageError(f"period {period} is not possible: this mode has {phases} temporal graphs; give 1 to {phases + 1}")
    return period


def _track_config(config: PipelineConfig) -> TrackConfig:
    base = TrackConfig()
    return replace(
        base,
        score_threshold=config.score_threshold,
        confident=min(max(base.confident, config.score_threshold), 1.0),
        max_people=config.max_people,
        max_lost_s=config.max_lost_s,
    )
