"""Where things lie on the screen, and what lies under a point: the geometry of a view, people and joints. Qt-free.

Two kinds of pixels exist here. Frame pixels are those of results: (0, 0) is the CENTRE of the top-left pixel. Widget pixels are
device-independent pixels of a window: (0, 0) is the top-left CORNER. All functions are pure and may be called in any thread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import FrameResult, PersonResult

__all__ = ["MAX_ZOOM", "JointHit", "Point", "ViewPosition", "ViewTransform", "joint_at", "person_at", "projected"]

Point = tuple[float, float]
Array = npt.NDArray[np.float64]
MAX_ZOOM = 24.0
"""More shows nothing but the squares of single pixels."""


@dataclass(frozen=True)
class ViewPosition:
    """Where a view looks, whatever the sizes of window and frame: two views of one source keep in step by it.

    Attributes:
        zoom: 1 = the whole frame fits into the window; up to :data:`MAX_ZOOM`.
        x, y: the point of the frame in the middle of the window, as shares 0..1 of its width and height (not mirrored).
    """

    zoom: float = 1.0
    x: float = 0.5
    y: float = 0.5

    @property
    def fits(self) -> bool:
        """Whether the whole frame is in view."""
        return self.zoom == 1.0


@dataclass(frozen=True)
class ViewTransform:
    """Maps frame pixels to widget pixels.

    Attributes:
        frame: width, height of the frame in frame pixels.
        widget: width, height of the window in widget pixels.
        position: where the view looks; clamped here, so that zoom is in range and no gap opens beside a frame that is
            larger than the window. A frame that is smaller is centred.
        mirror: show the frame as in a mirror.
    """

    frame: tuple[int, int]
    widget: tuple[int, int]
    position: ViewPosition = ViewPosition()
    mirror: bool = False

    def __post_init__(self) -> None:
        zoom = min(max(1.0, self.position.zoom), MAX_ZOOM)  # in this order, NaN becomes 1
        scale = self._fit * zoom
        x = _clamped(self.position.x, self.widget[0] / (scale * max(self.frame[0], 1)))
        y = _clamped(self.position.y, self.widget[1] / (scale * max(self.frame[1], 1)))
        object.__setattr__(self, "position", ViewPosition(zoom, x, y))

    @property
    def _fit(self) -> float:
        (width, height), (wide, high) = self.frame, self.widget
        return max(min(wide / max(width, 1), high / max(height, 1)), 1e-6)

    @property
    def scale(self) -> float:
        """Widget pixels to one frame pixel."""
        return self._fit * self.position.zoom

    @property
    def _direction(self) -> int:
        return -1 if self.mirror else 1

    @property
    def centre(self) -> Point:
        """The point of the frame, in frame pixels, in the middle of the window."""
        return self.position.x * self.frame[0] - 0.5, self.position.y * self.frame[1] - 0.5

    @property
    def affine(self) -> Array:
        """[2, 3] float64, frame pixels -> widget pixels."""
        scale, sign, (x, y) = self.scale, self._direction, self.centre
        return np.array([
            [sign * scale, 0.0, self.widget[0] / 2 - sign * scale * x],
            [0.0, scale, self.widget[1] / 2 - scale * y],
        ])  # fmt: skip

    @property
    def picture(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the whole frame in widget pixels; parts may lie outside of the window."""
        scale, (x, y) = self.scale, self.centre
        left = (self.frame[0] - 0.5 - x) if self.mirror else (x + 0.5)
        return (
            self.widget[0] / 2 - scale * left,
            self.widget[1] / 2 - scale * (y + 0.5),
            scale * self.frame[0],
            scale * self.frame[1],
        )

    def to_widget(self, point: Point) -> Point:
        """A point of the frame in widget pixels."""
        scale, (x, y) = self.scale, self.centre
        return self.widget[0] / 2 + self._direction * scale * (point[0] - x), self.widget[1] / 2 + scale * (point[1] - y)

    def to_frame(self, point: Point) -> Point:
        """A point of the window in frame pixels; it may lie outside of the frame."""
        scale, (x, y) = self.scale, self.centre
        return (
            x + self._direction * (point[0] - self.widget[0] / 2) / scale,
            y + (point[1] - self.widget[1] / 2) / scale,
        )

    def zoomed(self, factor: float, at: Point | None = None) -> ViewTransform:
        """Nearer by ``factor``; what lies at ``at`` (widget pixels, None for the middle) stays there as far as clamping allows."""
        middle = self.widget[0] / 2, self.widget[1] / 2
        at = at or middle
        kept = self.to_frame(at)
        zoom = min(max(self.position.zoom * factor, 1.0), MAX_ZOOM)
        if abs(zoom - 1.0) < 1e-3:
            zoom = 1.0  # so that as many steps out as in end at the whole frame
        scale = self._fit * zoom
        x = kept[0] - self._direction * (at[0] - middle[0]) / scale
        y = kept[1] - (at[1] - middle[1]) / scale
        return self._looking(zoom, (x, y))

    def panned(self, dx: float, dy: float) -> ViewTransform:
        """The content moved by so many widget pixels, to the right and down."""
        x, y = self.centre
        return self._looking(self.position.zoom, (x - self._direction * dx / self.scale, y - dy / self.scale))

    def centred(self, point: Point, share: float = 1.0) -> ViewTransform:
        """A point of the frame (frame pixels) moved to the middle of the window, or only a ``share`` of the way there."""
        x, y = self.centre
        return self._looking(self.position.zoom, (x + share * (point[0] - x), y + share * (point[1] - y)))

    def _looking(self, zoom: float, centre: Point) -> ViewTransform:
        x, y = (centre[0] + 0.5) / max(self.frame[0], 1), (centre[1] + 0.5) / max(self.frame[1], 1)
        return replace(self, position=ViewPosition(zoom, x, y))


def _clamped(middle: float, visible: float) -> float:
    """The middle of the visible share of one axis of the frame, so that nothing beyond the frame is seen."""
    if visible >= 1.0 or not math.isfinite(middle):
        return 0.5
    return min(max(middle, visible / 2), 1.0 - visible / 2)


def projected(result: FrameResult, view: ViewTransform) -> FrameResult:
    """A result in widget pixels: boxes and joints as they lie in the window, which is the ``size`` of the new result.

    Only positions change: in a mirrored view the person's left joints are still called left.
    """
    affine = view.affine
    people = tuple(
        replace(
            person,
            box=_box(person.box, affine),
            keypoints=_moved(person.keypoints, affine),
            smoothed=_moved(person.smoothed, affine),
        )
        for person in result.people
    )
    return replace(result, size=view.widget, people=people)


def _moved(points: npt.NDArray[np.float32], affine: Array) -> npt.NDArray[np.float32]:
    moved = points.copy()
    moved[:, 0] = points[:, 0] * affine[0, 0] + affine[0, 2]
    moved[:, 1] = points[:, 1] * affine[1, 1] + affine[1, 2]
    return moved


def _box(box: npt.NDArray[np.float32], affine: Array) -> npt.NDArray[np.float32]:
    """Sides at the edges of a mirrored picture change places."""
    x0, x1 = sorted(float(x) * affine[0, 0] + affine[0, 2] for x in (box[0], box[2]))
    y0, y1 = (float(y) * affine[1, 1] + affine[1, 2] for y in (box[1], box[3]))
    return np.array([x0, y0, x1, y1], np.float32)


@dataclass(frozen=True)
class JointHit:
    """A joint under a point.

    Attributes:
        person: whose it is.
        joint: its index in the skeleton.
        score: confidence 0..1, as decoded (smoothing does not change it).
        point: where it is drawn, in the pixels of the result.
    """

    person: PersonResult
    joint: int
    score: float
    point: Point


def joint_at(
    result: FrameResult, point: Point, reach: float, *, threshold: float = 0.3, smoothed: bool = True
) -> JointHit | None:
    """The nearest joint that is drawn, at most ``reach`` away; None where there is none.

    Args:
        result: in any pixels, see :func:`projected`.
        point, reach: in the same pixels.
        threshold: joints below this score are not drawn, and not found.
        smoothed: whether smoothed joints are drawn instead of raw ones.
    """
    found: JointHit | None = None
    for person in result.people:
        points = person.smoothed if smoothed else person.keypoints
        distances = np.hypot(points[:, 0] - point[0], points[:, 1] - point[1])
        distances[~(points[:, 2] >= threshold) | ~np.isfinite(distances)] = np.inf
        joint = int(distances.argmin())
        if distances[joint] <= reach:
            reach = float(distances[joint])
            at = float(points[joint, 0]), float(points[joint, 1])
            found = JointHit(person, joint, float(person.keypoints[joint, 2]), at)
    return found


def person_at(
    result: FrameResult,
    skeleton: Skeleton,
    point: Point,
    reach: float,
    *,
    threshold: float = 0.3,
    smoothed: bool = True,
) -> int | None:
    """The track id of the person under a point: whose skeleton is nearest within ``reach``, else whose box is smallest around it.

    Args:
        result, point, reach, threshold, smoothed: as for :func:`joint_at`.
        skeleton: of the keypoints.
    """
    near = [(_skeleton_distance(person, skeleton, point, threshold, smoothed), person.id) for person in result.people]
    if near and min(near)[0] <= reach:
        return min(near)[1]
    around = [(_area(person.box), person.id) for person in result.people if _within(person.box, point)]
    return min(around)[1] if around else None


def _skeleton_distance(person: PersonResult, skeleton: Skeleton, point: Point, threshold: float, smoothed: bool) -> float:
    """From a point to the nearest limb or joint that is drawn; infinite where nothing is."""
    points = np.asarray(person.smoothed if smoothed else person.keypoints, np.float64)
    good = np.isfinite(points).all(1) & (points[:, 2] >= threshold)
    pairs = [(a, b) for a, b in skeleton.limbs if good[a] and good[b]]
    pairs += [(int(joint), int(joint)) for joint in np.flatnonzero(good)]
    if not pairs:
        return math.inf
    ends = points[np.array(pairs), :2]
    start, along = ends[:, 0], ends[:, 1] - ends[:, 0]
    offset = np.asarray(point) - start
    share = ((offset * along).sum(1) / np.maximum((along**2).sum(1), 1e-12)).clip(0, 1)
    return float(np.linalg.norm(offset - share[:, None] * along, axis=1).min())


def _area(box: npt.NDArray[np.float32]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _within(box: npt.NDArray[np.float32], point: Point) -> bool:
    return bool(box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3])
