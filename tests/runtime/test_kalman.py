"""The box filter: follows, predicts over real time, and behaves alike for near and far people."""

from __future__ import annotations

import numpy as np
import pytest

from vipose.runtime.kalman import BoxKalman

BOX = np.array([100.0, 50.0, 160.0, 250.0])


def walk(filter_: BoxKalman, speed: float, dt: float, steps: int) -> None:
    for step in range(1, steps + 1):
        filter_.predict(dt)
        filter_.update(BOX + speed * dt * step * np.array([1, 0, 1, 0]))


def test_begins_at_the_box_and_stays() -> None:
    kalman = BoxKalman(BOX)
    assert kalman.box == pytest.approx(BOX)
    kalman.predict(1 / 30)
    assert kalman.box == pytest.approx(BOX)
    assert kalman.size == pytest.approx(np.sqrt(60 * 200))


@pytest.mark.parametrize("dt", [1 / 60, 1 / 30, 1 / 10])
def test_speed_is_per_second_whatever_the_frame_rate(dt: float) -> None:
    kalman = BoxKalman(BOX)
    walk(kalman, 120.0, dt, round(2 / dt))
    assert kalman.velocity == pytest.approx([120, 0], abs=6)
    centre = kalman.box[[0, 2]].mean()
    kalman.predict(0.25)
    assert kalman.box[[0, 2]].mean() - centre == pytest.approx(30, abs=2)


def test_scale_does_not_matter() -> None:
    small, large = BoxKalman(BOX), BoxKalman(BOX * 10)
    walk(small, 80.0, 1 / 30, 10)
    for step in range(1, 11):
        large.predict(1 / 30)
        large.update((BOX + 80.0 / 30 * step * np.array([1, 0, 1, 0])) * 10)
    assert large.box == pytest.approx(small.box * 10, rel=1e-9)


def test_little_trust_moves_it_little() -> None:
    sure, doubtful = BoxKalman(BOX), BoxKalman(BOX)
    for kalman, trust in ((sure, 1.0), (doubtful, 0.2)):
        kalman.predict(1 / 30)
        kalman.update(BOX + 20, trust=trust)
    assert np.abs(doubtful.box - BOX).max() < 0.5 * np.abs(sure.box - BOX).max()


def test_coasting_fades_and_still_stops() -> None:
    kalman = BoxKalman(BOX)
    walk(kalman, 200.0, 1 / 30, 30)
    for _ in range(60):
        kalman.predict(1 / 30, coasting=True)
    assert np.abs(kalman.velocity).max() < 10
    walk(kalman, 200.0, 1 / 30, 30)
    kalman.still()
    assert (kalman.velocity == 0).all()


def test_odd_boxes_stay_finite() -> None:
    kalman = BoxKalman(np.array([5.0, 5.0, 5.0, 5.0]))
    for box in ([5, 5, 4, 4], [-1e6, -1e6, 1e6, 1e6], [0, 0, 1, 1e5]):
        kalman.predict(1.0)
        kalman.update(np.array(box, float))
        assert np.isfinite(kalman.box).all()
    for _ in range(100):
        kalman.predict(10.0)
    assert np.isfinite(kalman.box).all()
