"""One-Euro and the two-pass filter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vipose.runtime.errors import UsageError
from vipose.runtime.smooth import OneEuro, SmoothConfig, ZeroPhase
from vipose.runtime.types import FrameResult, PersonResult

BOX = np.array([0, 0, 60, 166.7], np.float32)
SIZE = np.array([100.0])
DT = 1 / 30


def causal(values: np.ndarray, times: np.ndarray, score: float = 0.9, **config: float) -> np.ndarray:
    """One coordinate [F] through the filter."""
    smooth = OneEuro(SmoothConfig(**config))
    out = []
    for value, time_s in zip(values, times, strict=True):
        out.append(smooth([1], np.array([[[value, 0.0, score]]]), SIZE, float(time_s))[0, 0, 0])
    return np.array(out)


def results(values: np.ndarray, times: np.ndarray, person: int = 1, score: float = 0.9) -> list[FrameResult]:
    """Frames with one person of one joint; NaN = nobody."""
    out = []
    for index, (value, time_s) in enumerate(zip(values, times, strict=True)):
        pose = np.array([[value, 2 * value, score]], np.float32)
        people = () if np.isnan(value) else (PersonResult(person, BOX, 0.9, pose, pose),)
        out.append(FrameResult(index, float(time_s), (640, 480), people))
    return out


def two_pass(frames: list[FrameResult], **options: float) -> list[FrameResult]:
    smooth = ZeroPhase(**options)
    out = [done for frame in frames for done in smooth.push(frame)]
    return out + smooth.finish()


def x_of(frames: list[FrameResult]) -> np.ndarray:
    return np.array([f.people[0].smoothed[0, 0] if f.people else np.nan for f in frames])


def shake(values: np.ndarray) -> float:
    return float(np.abs(np.diff(values, 2)).mean())


def test_a_still_person_becomes_steady() -> None:
    noise = 300 + np.random.default_rng(0).normal(0, 2, 200)
    times = np.arange(200) * DT
    assert shake(causal(noise, times)) < 0.4 * shake(noise)
    assert shake(x_of(two_pass(results(noise, times)))) < 0.12 * shake(noise)


@pytest.mark.parametrize("speed", [10.0, 60.0, 400.0])
def test_two_passes_do_not_lag_on_a_ramp(speed: float) -> None:
    times = np.arange(150) * DT
    ramp = 50 + speed * times
    found = x_of(two_pass(results(ramp, times)))
    assert np.abs(found - ramp).max() < 0.02 * speed * DT * 10 + 0.05


def test_the_causal_filter_lags_little_when_fast() -> None:
    times = np.arange(60) * DT
    ramp = 500 * times
    assert np.abs(causal(ramp, times) - ramp).max() < 500 * DT * 1.5


def test_it_follows_a_variable_frame_rate() -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.01, 0.08, 120))
    ramp = 100 * times
    found = x_of(two_pass(results(ramp, times)))
    assert np.abs(found - ramp)[10:-10].max() < 2.0


def test_strength() -> None:
    noise = np.random.default_rng(2).normal(0, 2, 100)
    times = np.arange(100) * DT
    weak, strong = (shake(causal(noise, times, strength=s)) for s in (0.5, 2.0))
    assert strong < 0.6 * weak


def test_low_scores_pull_less() -> None:
    values = np.zeros(20)
    values[10] = 100.0
    times = np.arange(20) * DT
    assert causal(values, times, score=0.05)[10] < 0.4 * causal(values, times, score=0.9)[10]


def test_speed_counts_relative_to_the_persons_size() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0, 3, 50)
    one, ten = OneEuro(), OneEuro()
    for i, value in enumerate(values):
        small = one([1], np.array([[[value, 0, 1.0]]]), np.array([100.0]), i * DT)
        large = ten([1], np.array([[[10 * value, 0, 1.0]]]), np.array([1000.0]), i * DT)
        assert large[0, 0, 0] == pytest.approx(10 * small[0, 0, 0])


def test_a_gap_starts_afresh_and_odd_times_do_not_break() -> None:
    smooth = OneEuro()
    pose = np.array([[[10.0, 10.0, 1.0]]])
    smooth([1], pose, SIZE, 0.0)
    assert smooth([1], pose + 100, SIZE, 2.0) == pytest.approx(pose + 100)
    for time_s in (2.0, 1.99, 2.0, -50.0):
        assert np.isfinite(smooth([1], pose, SIZE, time_s)).all()
    assert smooth([], np.empty((0, 1, 3)), np.empty(0), 2.1).shape == (0, 1, 3)


def test_people_do_not_touch_each_other() -> None:
    rng = np.random.default_rng(4)
    poses = rng.uniform(0, 100, (10, 2, 5, 3))
    both, alone = OneEuro(), OneEuro()
    for i in range(10):
        together = both([1, 2], poses[i], np.array([50.0, 80.0]), i * DT)
        single = alone([2], poses[i, 1:], np.array([80.0]), i * DT)
        assert (together[1] == single[0]).all()


def test_order_raw_values_and_empty_frames_are_kept() -> None:
    values = np.full(100, np.nan)
    values[20:50] = np.linspace(0, 30, 30)
    values[70:71] = 5
    frames = results(values, np.arange(100) * DT)
    out = two_pass(frames)
    assert [f.index for f in out] == list(range(100))
    for before, after in zip(frames, out, strict=True):
        assert len(before.people) == len(after.people)
        for a, b in zip(before.people, after.people, strict=True):
            assert (a.keypoints == b.keypoints).all() and (a.smoothed[:, 2] == b.smoothed[:, 2]).all()
    assert out[70].people[0].smoothed[0, 0] == 5  # nobody to average with


def test_memory_is_bounded() -> None:
    smooth = ZeroPhase()
    waiting = 0
    for frame in results(np.zeros(500), np.arange(500) / 240):
        waiting += 1 - len(smooth.push(frame))
        assert waiting <= 32
    assert len(smooth.finish()) == waiting


def test_a_gap_separates_in_both_directions() -> None:
    values = np.concatenate([np.zeros(20), np.full(20, np.nan), np.full(20, 100.0)])
    found = x_of(two_pass(results(values, np.arange(60) * DT)))
    assert found[:20] == pytest.approx(np.zeros(20), abs=1e-6)
    assert found[40:] == pytest.approx(np.full(20, 100.0), abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-500, 500), st.floats(-0.05, 0.2), st.floats(0, 1)), min_size=1, max_size=60),
    st.floats(0.2, 5),
)
def test_bounds(steps: list[tuple[float, float, float]], strength: float) -> None:
    """Causal: within what was seen. Two passes: finite, not far outside, every frame once, the same every time."""
    values = np.array([s[0] for s in steps])
    times = np.cumsum([s[1] for s in steps])
    smooth = OneEuro(SmoothConfig(strength=strength))
    for i, (value, _, score) in enumerate(steps):
        out = smooth([1], np.array([[[value, 0.0, score]]]), SIZE, float(times[i]))[0, 0, 0]
        assert values[: i + 1].min() - 1e-6 <= out <= values[: i + 1].max() + 1e-6
    frames = results(values, times)
    config = SmoothConfig(strength=strength)
    first, second = (two_pass(frames, config=config) for _ in range(2))
    found = x_of(first)
    assert len(found) == len(values) and np.isfinite(found).all()
    reach = np.ptp(values)
    assert found.min() >= values.min() - reach - 1e-3 and found.max() <= values.max() + reach + 1e-3
    assert (found == x_of(second)).all()


@pytest.mark.parametrize("bad", [{"strength": 0}, {"strength": float("nan")}, {"min_cutoff_hz": -1}, {"beta": -1}])
def test_absurd_options(bad: dict) -> None:
    with pytest.raises(UsageError, match="smoothing"):
        SmoothConfig(**bad)
    with pytest.raises(UsageError, match="look-ahead"):
        ZeroPhase(look_ahead_s=0)
