"""Smoothing of keypoints: One-Euro for live use, and a two-pass filter without lag for files.

One-Euro (Casiez, Roussel and Vogel, CHI 2012): a low-pass filter whose cut-off rises with speed, so that a still joint is
steady and a fast one does not lag. Here per track and joint, with real time steps, speeds relative to the person's size, and
weaker pull of joints with a low score. Raw keypoints are never changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import UsageError
from vipose.runtime.geometry import FloatArray
from vipose.runtime.types import FrameResult

__all__ = ["OneEuro", "SmoothConfig", "ZeroPhase"]

_Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SmoothConfig:
    """Filter constants.

    Attributes:
        strength: 1 is the default, 2 halves the cut-offs, 0.5 doubles them.
        min_cutoff_hz: cut-off of a joint at rest.
        beta: cut-off gained, Hz, per speed of one person's size (root of the box's area) a second.
        speed_cutoff_hz: cut-off of the speed itself.
        sure: from this score on a joint pulls with full weight, less below.
        max_gap_s: a longer time without a pose starts afresh.

    Raises:
        UsageError: a value is out of range.
    """

    strength: float = 1.0
    min_cutoff_hz: float = 1.5
    beta: float = 6.0
    speed_cutoff_hz: float = 1.5
    sure: float = 0.3
    max_gap_s: float = 0.5

    def __post_init__(self) -> None:
        for name in ("strength", "min_cutoff_hz", "speed_cutoff_hz", "sure", "max_gap_s"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise UsageError(f"smoothing {name} {value} is not allowed (above 0); leave it out for the default")
        if not 0 <= self.beta < float("inf"):
            raise UsageError(f"smoothing beta {self.beta} is not allowed (0 or more); leave it out for the default")

    def pull(self, speed: _Array, score: _Array, dt: _Array) -> _Array:
        """Weight of a new value, [...] in 0..1, for speeds in sizes a second, scores and time steps in seconds."""
        cutoff = (self.min_cutoff_hz + self.beta * speed) / self.strength
        return _alpha(cutoff, dt) * np.clip(score / self.sure, 0.05, 1.0)


@dataclass
class _Memory:
    time_s: float
    value: _Array  # [K, 2]
    speed: _Array  # [K, 2] sizes per second


@dataclass
class OneEuro:
    """The causal filter, for live use."""

    config: SmoothConfig = field(default_factory=SmoothConfig)
    _memory: dict[int, _Memory] = field(default_factory=dict)

    def __call__(self, ids: Sequence[int], keypoints: FloatArray, sizes: FloatArray, time_s: float) -> _Array:
        """Smooth one frame; call it with every frame on which somebody is.

        Args:
            ids: [N] track ids.
            keypoints: [N, K, 3] as decoded, frame pixels.
            sizes: [N] root of the area of the boxes, pixels.
            time_s: of the frame; repeated and backward stamps count as a millisecond.

        Returns:
            [N, K, 3]; scores as they were. The first pose, and one after a gap, comes back unchanged.
        """
        out = np.array(keypoints, np.float64)
        if not len(ids):
            self._memory = {i: m for i, m in self._memory.items() if time_s - m.time_s <= self.config.max_gap_s}
            return out
        old = [self._memory.get(i) for i in ids]
        known = [row for row, m in enumerate(old) if m and abs(time_s - m.time_s) <= self.config.max_gap_s]
        speed = np.zeros((*out.shape[:2], 2))
        if known:
            past = [old[row] for row in known]
            value, before = (np.stack([getattr(m, name) for m in past]) for name in ("value", "speed"))
            dt = np.array([max(time_s - m.time_s, 1e-3) for m in past if m])[:, None]
            size = np.maximum(np.asarray(sizes, np.float64)[known], 1.0)[:, None, None]
            value, speed[known] = _step(self.config, out[known], value, before, size, dt)
            out[known, :, :2] = value
        kept = {i: m for i, m in self._memory.items() if abs(time_s - m.time_s) <= self.config.max_gap_s}
        self._memory = kept | {i: _Memory(time_s, out[n, :, :2], speed[n]) for n, i in enumerate(ids)}
        return out


def _alpha(cutoff_hz: _Array, dt: _Array) -> _Array:
    """Smoothing factor of a first-order low-pass filter."""
    turn = 2 * np.pi * cutoff_hz * dt
    return turn / (turn + 1)


def _step(
    config: SmoothConfig, new: _Array, value: _Array, speed: _Array, size: _Array, dt: _Array
) -> tuple[_Array, _Array]:
    """One One-Euro step of [N, K, 3]; ``size`` [N, 1, 1] and ``dt`` [N, 1]."""
    measured = (new[..., :2] - value) / (size * dt[..., None])
    pull = _alpha(np.asarray(config.speed_cutoff_hz / config.strength), dt)[..., None]
    speed = speed + pull * (measured - speed)
    fast = np.sqrt((speed * speed).sum(-1))
    weight = config.pull(fast, new[..., 2], dt)[..., None]
    return value + weight * (new[..., :2] - value), speed


@dataclass
class ZeroPhase:
    """The same filter run forward and then backward, so that its lag cancels; for files.

    It works on a sliding window with bounded look-ahead: memory does not grow, and results depend on nothing but the frames.
    Each pass starts in the steady state of the slope it finds, so that the ends of a track do not lag either.

    Attributes:
        config: filter constants.
        look_ahead_s, look_ahead_frames: a frame is given out when at least so much (whichever is less) is known after it, or
            at the end.
    """

    config: SmoothConfig = field(default_factory=SmoothConfig)
    look_ahead_s: float = 0.5
    look_ahead_frames: int = 16
    _window: list[FrameResult] = field(default_factory=list)
    _memory: dict[int, _Memory] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.look_ahead_s < float("inf") or self.look_ahead_frames < 1:
            raise UsageError(
                f"look-ahead of {self.look_ahead_s} s and {self.look_ahead_frames} frames is not allowed "
                "(above 0 s, 1 or more frames); keep the defaults"
            )

    def push(self, result: FrameResult) -> list[FrameResult]:
        """Take one frame; returns those that are finished, in order: none, or a run of them."""
        self._window.append(result)
        span = abs(result.time_s - self._window[0].time_s)
        if len(self._window) < 2 * self.look_ahead_frames and span < 2 * self.look_ahead_s:
            return []
        recent = [abs(result.time_s - r.time_s) < self.look_ahead_s for r in self._window[1:]]
        return self._finish(len(self._window) - min(sum(recent), self.look_ahead_frames))

    def finish(self) -> list[FrameResult]:
        """The frames that are still waiting, in order."""
        return self._finish(len(self._window))

    def _finish(self, count: int) -> list[FrameResult]:
        """Filter the window and give out its first ``count`` frames."""
        ids = sorted({p.id for r in self._window for p in r.people})
        if ids:
            smoothed = self._filter(ids, count)
            done = [_with(r, {i: smoothed[f, n] for n, i in enumerate(ids)}) for f, r in enumerate(self._window[:count])]
        else:
            done = self._window[:count]
        self._window = self._window[count:]
        return done

    def _filter(self, ids: list[int], count: int) -> _Array:
        """[F, N, K, 2] of the window; remembers the forward pass as it was at frame ``count`` - 1."""
        joints = len(next(p for r in self._window for p in r.people).keypoints)
        values = np.zeros((len(self._window), len(ids), joints, 3))
        sizes, present = np.ones(values.shape[:2]), np.zeros(values.shape[:2], bool)
        row = {i: n for n, i in enumerate(ids)}
        for f, result in enumerate(self._window):
            for person in result.people:
                n = row[person.id]
                values[f, n], present[f, n] = person.keypoints, True
                sizes[f, n] = np.sqrt(max(float(np.prod((person.box[2:] - person.box[:2]).clip(0))), 1.0))
        times = _rising(np.array([r.time_s for r in self._window]))
        self._memory = _forward(self.config, ids, values, present, sizes, times, self._memory, count)
        # Time runs backward; sizes, scores and speeds do not care.
        back = np.ascontiguousarray(values[::-1])
        _forward(self.config, ids, back, present[::-1], sizes[::-1], -times[::-1], {}, 0)
        return back[::-1, ..., :2]


def _with(result: FrameResult, smoothed: dict[int, _Array]) -> FrameResult:
    people = tuple(
        replace(p, smoothed=np.column_stack([smoothed[p.id], p.keypoints[:, 2]]).astype(np.float32)) for p in result.people
    )
    return replace(result, people=people)


def _rising(times: _Array) -> _Array:
    """Time stamps without repeats and steps backward: each is at least a millisecond after the one before."""
    steps = np.arange(len(times)) * 1e-3
    return np.asarray(np.maximum.accumulate(times - steps) + steps)


def _forward(
    config: SmoothConfig,
    ids: list[int],
    values: _Array,
    present: npt.NDArray[np.bool_],
    sizes: _Array,
    times: _Array,
    memory: dict[int, _Memory],
    count: int,
) -> dict[int, _Memory]:
    """Filter ``values`` [F, N, K, 3] in place along F.

    Args:
        config: filter constants.
        ids: N track ids.
        values, present, sizes, times: [F, N, K, 3], [F, N], [F, N], [F] (rising).
        memory: where the filter stood before the first frame.
        count: frames after which its state is wanted.

    Returns:
        The state after ``count`` frames.
    """
    frames, people, joints, _ = values.shape
    value, speed = np.zeros((people, joints, 2)), np.zeros((people, joints, 2))
    last = np.full(people, -np.inf)
    for n, person in enumerate(ids):
        if person in memory:
            value[n], speed[n], last[n] = memory[person].value, memory[person].speed, memory[person].time_s
    kept: dict[int, _Memory] = {}
    for f in range(frames):
        dt = np.maximum(times[f] - last, 1e-3)
        going = np.flatnonzero(present[f] & (dt <= config.max_gap_s))
        if len(going):
            size = sizes[f, going, None, None]
            value[going], speed[going] = _step(
                config, values[f, going], value[going], speed[going], size, dt[going, None]
            )
        for fresh in np.flatnonzero(present[f] & (dt > config.max_gap_s)):
            rest = values[f:, fresh], present[f:, fresh], float(sizes[f, fresh]), times[f:]
            value[fresh], speed[fresh] = _start(config, *rest)
        last[present[f]] = times[f]
        values[f, present[f], :, :2] = value[present[f]]
        if f == count - 1:
            kept = {i: _Memory(float(last[n]), value[n].copy(), speed[n].copy()) for n, i in enumerate(ids)}
    return kept


def _start(
    config: SmoothConfig, values: _Array, present: npt.NDArray[np.bool_], size: float, times: _Array
) -> tuple[_Array, _Array]:
    """Value and speed of a filter that had followed the slope of the first samples for long: where it would lag to."""
    first = values[0, :, :2].copy()
    run = int(np.argmin(present[:9])) if not present[:9].all() else len(present[:9])
    while run > 1 and np.diff(times[:run]).max() > config.max_gap_s:
        run -= 1
    if run < 3:
        return first, np.zeros_like(first)
    t = times[:run] - times[:run].mean()
    slope = np.einsum("f,fkc->kc", t, values[:run, :, :2]) / (t * t).sum()
    dt = np.asarray(times[1] - times[0])
    fast = np.sqrt((slope * slope).sum(-1)) / size
    pull = np.ones(len(fast))
    for _ in range(4):  # the filter measures speed from its own lagging value: 1 / pull times the true one
        pull = config.pull(fast / pull, values[0, :, 2], dt)
    speed = slope / size / pull[:, None]
    rest = config.strength / (2 * np.pi * config.min_cutoff_hz)
    lag = np.minimum(dt * (1 - pull) / pull, rest)[:, None]
    return first - slope * lag, speed
