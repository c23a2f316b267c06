"""A Kalman filter for one person's box: constant velocity of centre and logarithmic size, real time steps.

The state is centre x, centre y, log width, log height and their velocities per second. All noise is given relative to the
person's size, so that near and far people behave alike. The linear algebra is filterpy's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from filterpy.kalman import KalmanFilter

from vipose.runtime.geometry import FloatArray

__all__ = ["BoxKalman", "KalmanConfig"]

# Diagonals of the four 4x4 blocks of an 8x8 matrix, in its flat order.
_PLACE, _CROSS, _CROSS_BACK, _VELOCITY = slice(0, 32, 9), slice(4, 32, 9), slice(32, 64, 9), slice(36, 64, 9)
_LOG_SIZE = (0.0, 12.0)  # 1 to 160,000 pixels: exp() of a run-away size must stay finite


@dataclass(frozen=True)
class KalmanConfig:
    """Noise, as standard deviations; "size" is the root of the box's area.

    Attributes:
        centre: measurement of the centre, in sizes.
        log_size: measurement of the logarithm of width and height.
        acceleration: unmodelled acceleration of the centre, sizes per second squared.
        log_acceleration: the same of the logarithm of the size, per second squared.
        velocity: of a person first seen, sizes per second.
        log_velocity: of the size of a person first seen, per second.
        damping_s: velocities of a person who is not measured fade with this time constant.
    """

    centre: float = 0.04
    log_size: float = 0.08
    acceleration: float = 8.0
    log_acceleration: float = 4.0
    velocity: float = 1.0
    log_velocity: float = 0.5
    damping_s: float = 0.4


class BoxKalman:
    """Filter of one box; see the module.

    Args:
        box: [4] x0, y0, x1, y1 of the first measurement, frame pixels.
        config: noise.
    """

    def __init__(self, box: FloatArray, config: KalmanConfig | None = None) -> None:
        self._config = config or KalmanConfig()
        self._filter = KalmanFilter(dim_x=8, dim_z=4)
        self._filter.H = np.eye(4, 8)
        self._filter.x[:4, 0] = _measure(box)
        c, size = self._config, self.size
        self._filter.P = np.diag(np.square([
            c.centre * size, c.centre * size, c.log_size, c.log_size,
            c.velocity * size, c.velocity * size, c.log_velocity, c.log_velocity,
        ]))  # fmt: skip

    @property
    def box(self) -> npt.NDArray[np.float64]:
        """[4] x0, y0, x1, y1 of the present estimate, frame pixels."""
        x, y, width, height = self._filter.x[:4, 0].tolist()
        dx, dy = math.exp(width) / 2, math.exp(height) / 2
        return np.array([x - dx, y - dy, x + dx, y + dy])

    @property
    def size(self) -> float:
        """Root of the area of the present estimate, pixels."""
        return math.exp((float(self._filter.x[2, 0]) + float(self._filter.x[3, 0])) / 2)

    @property
    def velocity(self) -> npt.NDArray[np.float64]:
        """[2] of the centre, pixels per second."""
        return np.array(self._filter.x[4:6, 0])

    def predict(self, dt_s: float, *, coasting: bool = False) -> None:
        """Move on by ``dt_s`` seconds; ``coasting`` lets the velocities fade (nobody has measured lately)."""
        transition = np.eye(8)
        transition.flat[_CROSS] = dt_s
        if coasting:
            transition.flat[_VELOCITY] = math.exp(-dt_s / self._config.damping_s)
        c, size = self._config, self.size
        variance = np.square([c.acceleration * size] * 2 + [c.log_acceleration] * 2)
        noise = np.zeros((8, 8))
        noise.flat[_PLACE] = variance * (dt_s**4 / 4)
        noise.flat[_CROSS] = noise.flat[_CROSS_BACK] = variance * (dt_s**3 / 2)
        noise.flat[_VELOCITY] = variance * dt_s**2
        self._filter.predict(F=transition, Q=noise)
        self._bound()

    def update(self, box: FloatArray, *, trust: float = 1.0) -> None:
        """Take a measured box in; ``trust`` below 1 widens its noise (standard deviation divided by it)."""
        c, size = self._config, self.size
        deviation = np.array([c.centre * size, c.centre * size, c.log_size, c.log_size]) / max(trust, 1e-3)
        self._filter.update(_measure(box), R=np.diag(np.square(deviation)))
        self._bound()

    def state(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Copies of the mean [8, 1] and the covariance [8, 8], for :meth:`restore`."""
        return self._filter.x.copy(), self._filter.P.copy()

    def restore(self, state: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]) -> None:
        """Go back to an earlier :meth:`state`."""
        self._filter.x, self._filter.P = state[0].copy(), state[1].copy()

    def still(self) -> None:
        """Forget the velocities: after a cut or a gap in time they say nothing."""
        self._filter.x[4:] = 0.0

    def _bound(self) -> None:
        self._filter.x[2:4] = self._filter.x[2:4].clip(*_LOG_SIZE)


def _measure(box: FloatArray) -> npt.NDArray[np.float64]:
    x0, y0, x1, y1 = np.asarray(box, np.float64)[:4]
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2, np.log(max(x1 - x0, 1.0)), np.log(max(y1 - y0, 1.0))])
