"""Joint angles as small marks beside the joints, off the limbs that make the angle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vipose.app.core.hit import ViewTransform
from vipose.runtime.overlay import Rect
from vipose.runtime.results.angles import ANGLES, joint_angles
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import PersonResult

__all__ = ["AngleMark", "angle_marks"]

Vector = npt.NDArray[np.float64]
_LIMBS = {
    "knee": ("hip", "knee", "ankle"),
    "hip": ("shoulder", "hip", "knee"),
    "elbow": ("shoulder", "elbow", "wrist"),
    "shoulder": ("hip", "shoulder", "elbow"),
    "ankle": ("knee", "ankle", "ankle"),
}
_NAMED = {"ankle": "shank ", "lean": "trunk "}
"""Angles of one segment against the vertical say which: an ankle's number would be taken for the ankle's angle."""
_SMALLEST = 110.0  # people lower than this on the screen would vanish under their numbers; zooming in brings them
_AWAY = 9.0


@dataclass(frozen=True)
class AngleMark:
    """``text`` such as "32°" in ``rect``, widget pixels."""

    text: str
    rect: Rect


def angle_marks(
    people: Sequence[PersonResult],
    view: ViewTransform,
    skeleton: Skeleton,
    threshold: float,
    smoothed: bool,
    measure: Callable[[str], float],
    line: float,
) -> tuple[AngleMark, ...]:
    """Marks of the angles of people, never on top of each other.

    Angles are those of the frame: mirroring the view does not change them.

    Args:
        people: in frame pixels; those who are small in the view are left out.
        view: where they lie in the window.
        skeleton: of the keypoints.
        threshold: joints below this score make no angle.
        smoothed: use smoothed keypoints.
        measure, line: width of a text and height of a line in widget pixels.
    """
    large = [p for p in people if (float(p.box[3]) - float(p.box[1])) * view.scale >= _SMALLEST]
    if not large:
        return ()
    poses = np.stack([p.smoothed if smoothed else p.keypoints for p in large])
    affine = view.affine
    marks: list[AngleMark] = []
    for pose, angles in zip(poses, joint_angles(poses, skeleton, min_score=threshold), strict=True):
        points = pose[:, :2].astype(np.float64) * np.array([affine[0, 0], affine[1, 1]]) + affine[:, 2]
        places = {name: points[row] for row, name in enumerate(skeleton.joints)}
        for name, angle in zip(ANGLES, angles, strict=True):
            if np.isfinite(angle):
                text = _NAMED.get(name.split("_", 1)[1], "") + _degrees(angle)
                size = measure(text) + 6.0, line
                marks.append(AngleMark(text, _free(_place(name, places, size), marks)))
    return tuple(m for m in marks if m.rect[0] < view.widget[0] and m.rect[2] > 0)


def _degrees(angle: float) -> str:
    rounded = round(float(angle))
    return f"{'−' if rounded < 0 else ''}{abs(rounded)}°"


def _place(name: str, places: dict[str, Vector], size: tuple[float, float]) -> Rect:
    """Beside the joint, on the outer side of the bend; the trunk's in its middle."""
    if name == "trunk_lean":
        corners = [places[f"{side}_{joint}"] for side in ("left", "right") for joint in ("shoulder", "hip")]
        return _around(np.mean(corners, axis=0), size)
    side, joint = name.split("_", 1)
    first, vertex, last = (places[f"{side}_{part}"] for part in _LIMBS[joint])
    outward = -(_unit(first - vertex) + _unit(last - vertex))
    length = float(np.hypot(*outward))
    if length < 0.35:  # nearly straight: to the side, away from the other half of the body
        across = vertex - places[f"{'right' if side == 'left' else 'left'}_{joint}"]
        outward = np.array([1.0 if across[0] >= 0 else -1.0, 0.0])
    else:
        outward = outward / length
    reach = _AWAY + abs(outward[0]) * size[0] / 2 + abs(outward[1]) * size[1] / 2
    return _around(vertex + reach * outward, size)


def _unit(vector: Vector) -> Vector:
    return vector / max(float(np.hypot(*vector)), 1e-9)


def _around(centre: Vector, size: tuple[float, float]) -> Rect:
    x, y = float(centre[0]), float(centre[1])
    return x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2


def _free(rect: Rect, marks: Sequence[AngleMark]) -> Rect:
    """The place itself, or the next one below that is free."""
    x0, y0, x1, y1 = rect
    for _ in range(len(marks)):
        hit = next((m.rect for m in marks if x0 < m.rect[2] and m.rect[0] < x1 and y0 < m.rect[3] and m.rect[1] < y1), None)
        if hit is None:
            break
        y0, y1 = hit[3] + 1, hit[3] + 1 + (y1 - y0)
    return x0, y0, x1, y1
