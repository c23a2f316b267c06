"""Joint angles in the picture, in degrees.

They are angles of the PROJECTED skeleton: right where the limb moves in a plane parallel to the picture, foreshortened
otherwise. Two kinds exist.

Angles between two segments, 0 to 180, need no direction of view and hence cannot tell flexion from extension:

- knee (hip, knee, ankle): 0 = straight leg, flexion positive;
- elbow (shoulder, elbow, wrist): 0 = straight arm, flexion positive;
- hip (shoulder, hip, knee of one side): 0 = thigh in line with the trunk, flexion positive (so is extension);
- shoulder (hip, shoulder, elbow of one side): 0 = upper arm along the trunk, 180 = overhead; flexion, extension and
  abduction are all positive.

Angles of one segment against the vertical of the picture, signed: 0 = upright, positive = its upper end leans to the
RIGHT of the picture, 90 = it points right, -90 = it points left. A tilted camera tilts them too.

- trunk lean: from the middle of the hips to the middle of the shoulders;
- ankle: COCO-17 and MPII-16 have no foot, so this is NOT the anatomical ankle angle. It is the shank (ankle to knee)
  against the vertical, which follows dorsiflexion only while the foot stands flat on level ground.

Signed angles live in (-180, 180]; :class:`Unwrap` carries them on over that border, so that a person who turns over
gets 179, 181, 183 and not 179, -179, -177.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vipose.runtime.skeleton import Skeleton

__all__ = ["ANGLES", "Unwrap", "joint_angles"]

Array = npt.NDArray[np.float64]

_BETWEEN = {
    "knee": ("hip", "knee", "ankle", True),
    "hip": ("shoulder", "hip", "knee", True),
    "elbow": ("shoulder", "elbow", "wrist", True),
    "shoulder": ("hip", "shoulder", "elbow", False),
}
"""Angle -> first joint, vertex, last joint, and whether 0 means straight (else: 0 means folded together)."""
_SIDES = ("left", "right")
ANGLES = tuple(f"{side}_{joint}" for joint in ("knee", "hip", "ankle", "elbow", "shoulder") for side in _SIDES) + (
    "trunk_lean",
)
"""Names of the angles in the order of the columns."""
_SIGNED = tuple(ANGLES.index(name) for name in ("left_ankle", "right_ankle", "trunk_lean"))


def joint_angles(keypoints: npt.ArrayLike, skeleton: Skeleton, *, min_score: float = 0.3) -> Array:
    """The angles of people on one frame (or of one person on many frames).

    Args:
        keypoints: [N, K, 3] x, y (pixels, y down), score.
        skeleton: names the K joints; angles whose joints it lacks are NaN.
        min_score: joints that score less, or are not finite, make their angles NaN.

    Returns:
        [N, len(ANGLES)] float64, degrees, columns as in :data:`ANGLES`; NaN also where a segment has no length.
    """
    points = _Joints(np.asarray(keypoints, np.float64).reshape(-1, len(skeleton), 3), skeleton, min_score)
    columns = {}
    for side in _SIDES:
        for name, (first, vertex, last, straight) in _BETWEEN.items():
            a, b, c = (points(f"{side}_{joint}") for joint in (first, vertex, last))
            inner = _between(a - b, c - b)
            columns[f"{side}_{name}"] = 180.0 - inner if straight else inner
        columns[f"{side}_ankle"] = _lean(points(f"{side}_ankle"), points(f"{side}_knee"))
    columns["trunk_lean"] = _lean(points.middle("hip"), points.middle("shoulder"))
    return np.stack([columns[name] for name in ANGLES], axis=-1)


class _Joints:
    """Looks up [N, 2] positions by joint name; NaN where the joint is missing or unsure."""

    def __init__(self, keypoints: Array, skeleton: Skeleton, min_score: float) -> None:
        good = (keypoints[..., 2:] >= min_score) & np.isfinite(keypoints).all(-1, keepdims=True)
        self._positions = np.where(good, keypoints[..., :2], np.nan)
        self._names = skeleton.joints

    def __call__(self, name: str) -> Array:
        if name not in self._names:
            return np.full((len(self._positions), 2), np.nan)
        return np.asarray(self._positions[:, self._names.index(name)])

    def middle(self, joint: str) -> Array:
        return (self(f"left_{joint}") + self(f"right_{joint}")) / 2


def _between(u: Array, v: Array) -> Array:
    """Angle of two vectors [N, 2], 0 to 180. atan2 keeps its precision near 0 and 180, where acos loses it."""
    cross = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    angle = np.degrees(np.arctan2(np.abs(cross), (u * v).sum(-1)))
    return np.where(_long(u) & _long(v), angle, np.nan)


def _lean(low: Array, high: Array) -> Array:
    """Angle of the segment from ``low`` to ``high`` [N, 2] against upwards, positive to the right; (-180, 180]."""
    up = high - low
    angle = np.degrees(np.arctan2(up[:, 0], -up[:, 1]))
    return np.where(_long(up), np.where(angle <= -180.0, 180.0, angle), np.nan)


def _long(vector: Array) -> npt.NDArray[np.bool_]:
    return np.asarray((vector != 0).any(-1))


class Unwrap:
    """Carries signed angles on over the border at 180 degrees, per person.

    Args:
        gap_s: an angle that was not seen for longer starts anew in (-180, 180].
    """

    def __init__(self, gap_s: float = 1.0) -> None:
        self._gap_s = gap_s
        self._last: dict[int, tuple[Array, Array]] = {}

    def __call__(self, ids: Sequence[int], time_s: float, angles: Array) -> Array:
        """The angles [N, len(ANGLES)] of the people ``ids`` at ``time_s``, each signed one next to its predecessor."""
        angles = np.array(angles, np.float64)
        for row, person in enumerate(ids):
            angles[row, _SIGNED] = self._next(person, time_s, angles[row, _SIGNED])
        stale = [p for p, (_, times) in self._last.items() if not (np.abs(time_s - times) <= self._gap_s).any()]
        for person in stale:
            del self._last[person]
        return angles

    def _next(self, person: int, time_s: float, angles: Array) -> Array:
        before, times = self._last.get(person, (np.zeros(len(_SIGNED)), np.full(len(_SIGNED), -math.inf)))
        turns = np.where(np.abs(time_s - times) <= self._gap_s, np.round((before - angles) / 360.0), 0.0)
        angles = angles + 360.0 * np.nan_to_num(turns)
        seen = np.isfinite(angles)
        self._last[person] = (np.where(seen, angles, before), np.where(seen, time_s, times))
        return angles
