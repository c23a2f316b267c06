"""Head blur: makes heads unrecognisable before a picture is encoded or shown. It fails closed.

A head is found from its own joints, else from shoulders and hips, else the upper part of the person's box is blurred.
Where a tracked person or the joints of its head are missed, its last known head stays blurred as well, growing with the
time unseen, until that was ``keep_s`` seconds ago or the scene cuts. Nobody can be blurred before the detector finds them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import UsageError
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import FrameResult, PersonResult

__all__ = ["BlurConfig", "Ellipse", "HeadBlur", "blur_ellipses", "head_regions"]

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]

HEAD = ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "head_top", "upper_neck")
# Distance between two joints -> half the height of the head with hair, from mean adult measures in centimetres: head 24 high,
# eyes 6.3 apart, ears 15 apart, nose to ear 12, shoulder joints 36 apart, shoulder to hip 50, upper neck to head top 24.
RATIOS = (
    ("left_eye", "right_eye", 2.0),
    ("left_ear", "right_ear", 0.85),
    ("nose", "left_ear", 1.05),
    ("nose", "right_ear", 1.05),
    ("left_shoulder", "right_shoulder", 0.36),
    ("left_shoulder", "left_hip", 0.25),
    ("right_shoulder", "right_hip", 0.25),
    ("upper_neck", "head_top", 0.55),
)


@dataclass(frozen=True)
class BlurConfig:
    """How heads are hidden.

    Attributes:
        threshold: joints below this score are not believed; low, since a needless blur is the smaller harm.
        margin: enlargement of the estimated head.
        keep_s: seconds for which the head of an unseen track stays blurred; at least the tracker's lost buffer.
        growth_per_s: share by which the head of an unseen track grows every second, besides its last speed.
        cells: a head is reduced to about this many samples across before it is smoothed.
    """

    threshold: float = 0.2
    margin: float = 1.25
    keep_s: float = 2.0
    growth_per_s: float = 0.5
    cells: int = 5

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1 or self.margin < 1 or self.keep_s < 0 or self.growth_per_s < 0:
            raise UsageError("head blur: threshold must be 0..1, margin at least 1, keep_s and growth_per_s not negative")
        if not 2 <= self.cells <= 8:
            raise UsageError(f"head blur: {self.cells} cells across a head; 2 to 8 keep it unrecognisable")


@dataclass(frozen=True)
class Ellipse:
    """A region in frame pixels: centre, half axes (along and across ``angle``) and the direction of the first, radians."""

    x: float
    y: float
    along: float
    across: float
    angle: float = -math.pi / 2

    def grown(self, factor: float, pixels: float = 0.0) -> Ellipse:
        """Larger by a factor and then by so many pixels on every side."""
        return replace(self, along=self.along * factor + pixels, across=self.across * factor + pixels)


@dataclass(frozen=True)
class _Seen:
    """The last known head of a track; ``speed`` in pixels per second."""

    regions: tuple[Ellipse, ...]
    time_s: float
    speed: float


class HeadBlur:
    """Blurs heads over the frames of one source; feed it every frame that is encoded or shown, in order.

    Example:
        >>> blur = HeadBlur(COCO17)                                  # doctest: +SKIP
        >>> for frame in source:                                     # doctest: +SKIP
        ...     image = blur.apply(frame.image, pipeline.process(frame))
    """

    def __init__(self, skeleton: Skeleton, config: BlurConfig | None = None) -> None:
        self.skeleton = skeleton
        self.config = config or BlurConfig()
        self._seen: dict[int, _Seen] = {}

    def apply(self, image: Image, result: FrameResult) -> Image:
        """The picture without recognisable heads.

        Args:
            image: [H, W, 3] uint8; never written to.
            result: of this very frame.

        Returns:
            A new [H, W, 3] uint8 picture.
        """
        return blur_ellipses(image, self.update(result), self.config.cells)

    def update(self, result: FrameResult) -> tuple[Ellipse, ...]:
        """Take in one frame; the regions to hide on it, of seen and of missed people."""
        now = result.time_s
        if any(person.why == "cut" for person in result.people):
            self._seen.clear()
        self._forget(now)
        regions: list[Ellipse] = []
        located: set[int] = set()
        for person in result.people:
            found, sure = _locate(person, self.skeleton, self.config)
            if found and (sure or person.id not in self._seen):
                self._seen[person.id] = _Seen(found, now, _speed(self._seen.get(person.id), found, now))
                located.add(person.id)
            regions += found
        for track, seen in self._seen.items():
            if track not in located:
                regions += self._remembered(seen, now)
        return tuple(regions)

    def _forget(self, now: float) -> None:
        """Drop what is too old; a clock that goes backwards says nothing about age, so such tracks count from here."""
        keep = self.config.keep_s
        self._seen = {
            track: replace(seen, time_s=min(seen.time_s, now))
            for track, seen in self._seen.items()
            if now - seen.time_s <= keep
        }

    def _remembered(self, seen: _Seen, now: float) -> list[Ellipse]:
        """The last known head, grown by how far it may have moved; at most to three times its size."""
        unseen_s = now - seen.time_s
        factor = min(1 + self.config.growth_per_s * unseen_s, 2.0)
        return [r.grown(factor, min(seen.speed * unseen_s, max(r.along, r.across))) for r in seen.regions]


def head_regions(person: PersonResult, skeleton: Skeleton, config: BlurConfig | None = None) -> tuple[Ellipse, ...]:
    """Where a person's head is or may be; empty only where neither joints nor box say anything (not finite)."""
    return _locate(person, skeleton, config or BlurConfig())[0]


def _locate(person: PersonResult, skeleton: Skeleton, config: BlurConfig) -> tuple[tuple[Ellipse, ...], bool]:
    """The regions of a person's head and whether they come from joints of the head itself."""
    joints = _believed(person.keypoints, skeleton, config.threshold)
    box = np.asarray(person.box, np.float64)
    box_good = bool(np.isfinite(box).all())
    length = max(float(box[3] - box[1]), float(box[2] - box[0]), 1.0) if box_good else 0.0
    radius = _head_radius(joints, length) * config.margin
    up = _up(joints)
    head = np.array(_head_points(joints, radius / config.margin, up))
    if len(head):
        centre = (head.min(0) + head.max(0)) / 2
        reach = float(np.linalg.norm(head - centre, axis=1).max()) + 0.4 * radius
        return (_ellipse(centre, max(radius, reach), up),), True
    regions = []
    shoulders = _middle(joints, "left_shoulder", "right_shoulder")
    if shoulders is not None:
        regions.append(_ellipse(shoulders + up * 1.1 * radius, 1.3 * radius, up))
    if box_good:
        regions.append(_upper_part(box))
    return tuple(regions), False


def blur_ellipses(image: Image, regions: Iterable[Ellipse], cells: int = 5) -> Image:
    """A copy of ``image`` whose regions are reduced to ``cells`` samples across and smoothed again.

    Every region is taken from the untouched picture; the few samples left are its area means, so nothing finer survives.
    """
    out = image.copy()
    for region in regions:
        _hide(image, out, region, cells)
    return out


def _hide(image: Image, out: Image, region: Ellipse, cells: int) -> None:
    height, width = image.shape[:2]
    reach = max(region.along, region.across) * 1.1 + 2
    if not all(map(math.isfinite, (region.x, region.y, reach))):
        return
    x0, y0 = int(max(math.floor(region.x - reach), 0)), int(max(math.floor(region.y - reach), 0))
    x1, y1 = int(min(math.ceil(region.x + reach) + 1, width)), int(min(math.ceil(region.y + reach) + 1, height))
    if x0 >= x1 or y0 >= y1:
        return
    part = image[y0:y1, x0:x1]
    cell = max(2 * min(region.along, region.across) / cells, 1.0)
    few = max(1, round((x1 - x0) / cell)), max(1, round((y1 - y0) / cell))
    coarse = cv2.resize(part, few, interpolation=cv2.INTER_AREA)
    hidden = cv2.resize(coarse, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    weight = _mask((x1 - x0, y1 - y0), region, x0, y0)[..., None]
    target = out[y0:y1, x0:x1]
    target[:] = np.rint(hidden * weight + target * (1 - weight)).astype(np.uint8)


def _mask(size: tuple[int, int], region: Ellipse, x0: int, y0: int) -> npt.NDArray[np.float32]:
    """1 inside the ellipse; falls to 0 outside it within a tenth of its size, so that the edge is soft but hides all."""
    x = np.arange(size[0], dtype=np.float32)[None] + np.float32(x0 - region.x)
    y = np.arange(size[1], dtype=np.float32)[:, None] + np.float32(y0 - region.y)
    cos, sin = math.cos(region.angle), math.sin(region.angle)
    along, across = (x * cos + y * sin) / max(region.along, 0.5), (y * cos - x * sin) / max(region.across, 0.5)
    return np.asarray(np.clip((1.1 - np.hypot(along, across)) / 0.1, 0, 1), np.float32)


def _believed(keypoints: npt.NDArray[np.float32], skeleton: Skeleton, threshold: float) -> dict[str, Points]:
    good = np.isfinite(keypoints).all(1) & (keypoints[:, 2] >= threshold)
    return {name: keypoints[j, :2].astype(np.float64) for j, name in enumerate(skeleton.joints) if good[j]}


def _head_radius(joints: dict[str, Points], length: float) -> float:
    """Half the head's height: the largest of what pairs of joints say, since any of them may be foreshortened."""
    found = [float(np.linalg.norm(joints[a] - joints[b])) * k for a, b, k in RATIOS if a in joints and b in joints]
    largest = max(found, default=0.0)
    if length > 0:  # of the box: a wrong joint must not blur the whole frame, nor a heap of them nothing
        largest = min(max(largest, 0.05 * length), 0.5 * length)
    return max(largest, 3.0)


def _head_points(joints: dict[str, Points], radius: float, up: Points) -> list[Points]:
    """The joints of the head. Of a head with ends only (MPII) the end that is not seen is put in: either alone is at its rim."""
    found = {name: joints[name] for name in HEAD if name in joints}
    ends = {"upper_neck": 2.0, "head_top": -2.0}
    if len(found) == 1 and (end := next(iter(found))) in ends:
        return [found[end], found[end] + ends[end] * radius * up]
    return list(found.values())


def _middle(joints: dict[str, Points], a: str, b: str) -> Points | None:
    found = [joints[name] for name in (a, b) if name in joints]
    return np.mean(found, axis=0) if found else None


def _up(joints: dict[str, Points]) -> Points:
    """Unit vector from the body to the head; straight up where the body is not seen."""
    shoulders = _middle(joints, "left_shoulder", "right_shoulder")
    hips = _middle(joints, "left_hip", "right_hip")
    head = [joints[name] for name in HEAD if name in joints]
    if shoulders is not None and hips is not None:
        vector = shoulders - hips
    elif shoulders is not None and head:
        vector = np.mean(head, axis=0) - shoulders
    else:
        return np.array([0.0, -1.0])
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-6 else np.array([0.0, -1.0])


def _ellipse(centre: Points, radius: float, up: Points) -> Ellipse:
    return Ellipse(float(centre[0]), float(centre[1]), 1.15 * radius, radius, math.atan2(up[1], up[0]))


def _upper_part(box: Points) -> Ellipse:
    """An ellipse around the upper 40 % of a box."""
    half_width, half_height = max(float(box[2] - box[0]), 1.0) / 2, 0.2 * max(float(box[3] - box[1]), 1.0)
    root = math.sqrt(2)  # the ellipse around a rectangle
    return Ellipse(float(box[0] + box[2]) / 2, float(box[1]) + half_height, half_height * root, half_width * root)


def _speed(seen: _Seen | None, regions: tuple[Ellipse, ...], now: float) -> float:
    """Pixels per second between two sightings; the larger of old and new, halved each time, so that one still frame counts less."""
    if seen is None or now <= seen.time_s:
        return seen.speed if seen else 0.0
    a, b = seen.regions[0], regions[0]
    speed = math.hypot(b.x - a.x, b.y - a.y) / (now - seen.time_s)
    return max(speed, seen.speed / 2)

