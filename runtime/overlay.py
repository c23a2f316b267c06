"""The overlay as data: what is drawn where, in frame pixels, before anything is drawn.

:func:`build_overlay` turns a result into lines, dots, boxes and texts; :func:`vipose.runtime.draw.draw` paints them, for
the file as for the screen. Colours are RGB. Sizes scale with the shorter side of the frame, 1 unit at 540 pixels, and
limbs thin out with people who are far away, so that 360p and 4K read equally well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vipose.runtime.lettering import text_extent
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.types import FrameResult, PersonResult

__all__ = [
    "Box",
    "Colour",
    "Dot",
    "Line",
    "Overlay",
    "OverlayStyle",
    "Panel",
    "Status",
    "Text",
    "build_overlay",
    "ink_on",
    "person_mark",
    "place_label",
    "status_segments",
    "track_colour",
]

Colour = tuple[int, int, int]
Rect = tuple[float, float, float, float]
"""x0, y0, x1, y1 in frame pixels."""

FORCED = frozenset({"score", "jump", "implausible", "cut", "gap"})

# Blue, orange and near-white keep apart under the common colour vision deficiencies (after Okabe and Ito, 2008).
LEFT: Colour = (64, 170, 255)
RIGHT: Colour = (255, 149, 30)
CENTRE: Colour = (236, 236, 240)
# Track colours: "bright" and "vibrant" of Paul Tol's qualitative schemes, ordered so that neighbours differ most.
TRACKS: tuple[Colour, ...] = (
    (204, 187, 68), (170, 51, 119), (102, 204, 238), (238, 102, 119), (0, 153, 136), (238, 119, 51),
    (68, 119, 170), (187, 187, 187), (34, 136, 51), (238, 51, 119),
)  # fmt: skip
_WHITE: Colour = (255, 255, 255)
_BLACK: Colour = (0, 0, 0)
_WARNING: Colour = (255, 200, 60)
_DIM: Colour = (176, 182, 194)


@dataclass(frozen=True)
class Line:
    """A limb. ``casing`` is a dark rim on either side, pixels; ``alpha`` is the opacity, 0..1."""

    start: tuple[float, float]
    end: tuple[float, float]
    colour: Colour
    width: float
    casing: float = 0.0
    alpha: float = 1.0


@dataclass(frozen=True)
class Dot:
    """A joint. ``radius`` and ``casing`` in pixels."""

    centre: tuple[float, float]
    radius: float
    colour: Colour
    casing: float = 0.0
    alpha: float = 1.0


@dataclass(frozen=True)
class Box:
    """An unfilled rectangle."""

    rect: Rect
    colour: Colour
    width: float


@dataclass(frozen=True)
class Panel:
    """A filled rectangle behind text. A ``pinned`` one belongs to the screen and is not mirrored."""

    rect: Rect
    colour: Colour
    alpha: float
    pinned: bool = False


@dataclass(frozen=True)
class Text:
    """One line of text.

    Attributes:
        text: what it says; ASCII.
        rect: the block that it fills, margins included; mirrored as a block, never letter by letter.
        baseline: y of the baseline.
        left: x of the first letter.
        size: height of a capital letter, pixels.
        pinned: belongs to the screen and is not mirrored.
    """

    text: str
    rect: Rect
    left: float
    baseline: float
    size: float
    colour: Colour
    pinned: bool = False


@dataclass(frozen=True)
class Overlay:
    """Everything to draw on one frame of ``size`` (width, height), in the order of the fields."""

    size: tuple[int, int]
    boxes: tuple[Box, ...] = ()
    lines: tuple[Line, ...] = ()
    dots: tuple[Dot, ...] = ()
    panels: tuple[Panel, ...] = ()
    texts: tuple[Text, ...] = ()


@dataclass(frozen=True)
class OverlayStyle:
    """What is shown and how.

    Attributes:
        boxes, ids, status: show people's boxes; their labels (track id and K/P mark); the status strip.
        smoothed: draw smoothed keypoints instead of raw ones.
        threshold: joints below this score are not drawn.
        full_score: joints from this score on are opaque; they fade in between.
        line_width, joint_radius, text_size: pixels at 540 lines.
        left, right, centre: colours of the sides of the body (the person's own left).
    """

    boxes: bool = True
    ids: bool = True
    status: bool = True
    smoothed: bool = True
    threshold: float = 0.3
    full_score: float = 0.7
    line_width: float = 3.0
    joint_radius: float = 3.4
    text_size: float = 10.5
    left: Colour = LEFT
    right: Colour = RIGHT
    centre: Colour = CENTRE


@dataclass(frozen=True)
class Status:
    """What only the driver knows.

    Attributes:
        fps: frames per second of the whole run at present; None where unknown.
        age_ms: live only: time since the shown frame was captured, milliseconds.
        notice: a short warning, for example that the provider fell back to the CPU.
    """

    fps: float | None = None
    age_ms: float | None = None
    notice: str = ""


def build_overlay(
    result: FrameResult, skeleton: Skeleton, style: OverlayStyle | None = None, status: Status | None = None
) -> Overlay:
    """Lay out one frame.

    Args:
        result: of the frame; ``size`` is its width and height.
        skeleton: of the keypoints in it.
        style: None for the defaults.
        status: None where no driver measures; the strip then shows what the result itself knows.
    """
    style = style or OverlayStyle()
    width, height = result.size
    unit = max(min(width, height) / 540, 0.1)
    boxes: list[Box] = []
    lines: list[Line] = []
    dots: list[Dot] = []
    # Large (near) people first, so that small ones in front of them stay visible.
    for person in sorted(result.people, key=lambda p: (-_box_height(p), p.id)):
        if style.boxes and np.isfinite(person.box).all():
            boxes.append(Box(_rect(person.box), track_colour(person.id), max(1.0, 1.4 * unit)))
        limbs, joints = _skeleton(person, skeleton, style, unit)
        lines += limbs
        dots += joints
    strip_panel, strip_texts = _strip(result, status, style, unit) if style.status else ((), ())
    top = strip_panel[0].rect[3] if strip_panel else 0.0
    label_panels, label_texts = _labels(result, style, unit, top) if style.ids else ((), ())
    return Overlay(
        result.size,
        tuple(boxes),
        tuple(lines),
        tuple(dots),
        (*label_panels, *strip_panel),
        (*label_texts, *strip_texts),
    )


def track_colour(track: int) -> Colour:
    """The colour of a track id; the same in every frame and run."""
    return TRACKS[(track - 1) % len(TRACKS)]


def person_mark(person: PersonResult) -> str:
    """``K`` on a key frame (with the reason of a forced one), ``P2`` two frames after it; ``L/R`` where sides were swapped."""
    mark = f"P{person.phase}" if person.kind == "propagated" else "K"
    if person.why in FORCED:
        mark += f" {person.why}"
    return mark + (" L/R" if person.swapped else "")


def status_segments(result: FrameResult, status: Status | None = None) -> tuple[str, ...]:
    """What the status strip says, most important first."""
    status = status or Status()
    people = len(result.people)
    segments = [f"frame {result.index}  {result.time_s:.2f} s", f"{people} {'person' if people == 1 else 'people'}"]
    if status.fps is not None and math.isfinite(status.fps):
        segments.append(f"{status.fps:.1f} FPS")
    if status.age_ms is not None and math.isfinite(status.age_ms):
        segments.append(f"age {status.age_ms:.0f} ms")
    segments += [result.provider, f"dropped {result.counters.dropped}"]
    if status.notice:
        segments.append(status.notice)
    if result.timings:
        stages = {stage: ms for stage, ms in result.timings.items() if stage != "total"}
        segments.append(f"{result.timings.get('total', sum(stages.values())):.1f} ms per frame")
        segments += [f"{stage} {ms:.1f}" for stage, ms in stages.items() if ms >= 0.05]
    return tuple(segments)


def place_label(box: Rect, block: tuple[float, float], size: tuple[int, int], top: float, taken: Sequence[Rect]) -> Rect:
    """Where a label goes: on the upper edge of its box, clamped into the frame, moved down past labels that lie there.

    Args:
        box: of the person.
        block: width, height of the label.
        size: width, height of the frame.
        top: the label stays below this line.
        taken: labels that are placed already.
    """
    width, height = block
    x = min(max(box[0], 0.0), max(size[0] - width, 0.0))
    floor = max(size[1] - height, top)
    start = min(max(box[1] - height, top), floor)
    y = start
    for _ in range(len(taken)):
        blocking = next((t for t in taken if x < t[2] and t[0] < x + width and y < t[3] and t[1] < y + height), None)
        if blocking is None:
            break
        y = blocking[3] + 1
    if y > floor:
        y = start  # a full column: better on top of another label than outside the frame
    return x, y, x + width, y + height


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever stands out more (WCAG relative luminance)."""
    linear = [((c / 255 + 0.055) / 1.055) ** 2.4 if c > 10 else c / 3295 for c in colour]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return _BLACK if luminance > 0.179 else _WHITE


def _box_height(person: PersonResult) -> float:
    height = float(person.box[3]) - float(person.box[1])
    return height if math.isfinite(height) else 0.0


def _rect(box: Sequence[float] | np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Rect:
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])


def _skeleton(
    person: PersonResult, skeleton: Skeleton, style: OverlayStyle, unit: float
) -> tuple[list[Line], list[Dot]]:
    """Limbs and joints that reach the threshold; opacity follows the score (of a limb: the lesser end)."""
    points = person.smoothed if style.smoothed else person.keypoints
    good = np.isfinite(points).all(1) & (points[:, 2] >= style.threshold)
    scores = np.minimum(points[:, 2], person.keypoints[:, 2])  # smoothing may carry on a joint that is not seen any more
    opacity = [_opacity(float(s), style) for s in scores]
    near = min(max(_box_height(person) * 0.011, unit), style.line_width * unit) / style.line_width
    width, radius, casing = style.line_width * near, style.joint_radius * near, 0.9 * near
    colours = {"left": style.left, "right": style.right, "centre": style.centre}
    lines = [
        Line(_point(points[a]), _point(points[b]), colours[_limb_side(skeleton, a, b)], width, casing,
             min(opacity[a], opacity[b]))
        for a, b in skeleton.limbs
        if good[a] and good[b]
    ]  # fmt: skip
    dots = [
        Dot(_point(points[j]), radius, colours[skeleton.side(j)], casing, opacity[j])
        for j in range(len(skeleton))
        if good[j]
    ]
    return lines, dots


def _opacity(score: float, style: OverlayStyle) -> float:
    if not math.isfinite(score):
        return 0.3
    span = max(style.full_score - style.threshold, 1e-6)
    return 0.3 + 0.7 * min(max((score - style.threshold) / span, 0.0), 1.0)


def _limb_side(skeleton: Skeleton, a: int, b: int) -> str:
    """A limb from one side to the middle belongs to that side; one across the body to none."""
    sides = {skeleton.side(a), skeleton.side(b)} - {"centre"}
    return sides.pop() if len(sides) == 1 else "centre"


def _point(point: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _text_size(style: OverlayStyle, unit: float) -> float:
    return max(style.text_size * unit, 7.0)


def _labels(
    result: FrameResult, style: OverlayStyle, unit: float, top: float
) -> tuple[list[Panel], list[Text]]:
    """One label a person, above its box, inside the frame, below the strip, off the other labels where there is room."""
    size = _text_size(style, unit) * 0.95
    margin = round(size * 0.35)
    panels: list[Panel] = []
    texts: list[Text] = []
    taken: list[Rect] = []
    for person in result.people:
        if not np.isfinite(person.box).all() or not _touches(person.box, result.size):
            continue
        label = f"{person.id} {person_mark(person)}"
        width, ascent, descent = text_extent(label, size)
        block = (width + 2 * margin, ascent + descent + 2 * margin)
        if block[1] > 0.2 * result.size[1]:
            break  # a thumbnail: letters that can be read would hide it
        rect = place_label(_rect(person.box), block, result.size, top, taken)
        taken.append(rect)
        colour = track_colour(person.id)
        panels.append(Panel(rect, colour, 0.9))
        baseline = rect[1] + margin + ascent
        texts.append(Text(label, rect, rect[0] + margin, baseline, size, ink_on(colour)))
    return panels, texts


def _touches(box: np.ndarray[tuple[int, ...], np.dtype[np.float32]], size: tuple[int, int]) -> bool:
    return bool(box[0] < size[0] and box[2] > 0 and box[1] < size[1] and box[3] > 0)


def _strip(
    result: FrameResult, status: Status | None, style: OverlayStyle, unit: float
) -> tuple[tuple[Panel, ...], tuple[Text, ...]]:
    """The status strip: full width, as many lines as are needed, at most a quarter of the frame's height."""
    size = max(_text_size(style, unit) * 0.88, 7.0)
    frame_width, frame_height = result.size
    _, ascent, descent = text_extent("Ag", size)
    line_height = round((ascent + descent) * 1.3)
    margin, gap = round(size * 0.7), round(size * 1.6)
    rows = int(min(frame_height * 0.25, 6 * line_height) // line_height)
    texts: list[Text] = []
    x, row = margin, 0
    for segment in status_segments(result, status):
        width = text_extent(segment, size)[0]
        if x + width > frame_width - margin and x > margin:
            x, row = margin, row + 1
        if row >= rows:
            break
        y = row * line_height + margin // 2
        rect = (float(x), float(y), float(x + width), float(y + line_height))
        baseline = y + (line_height + ascent - descent) / 2
        texts.append(Text(segment, rect, x, baseline, size, _segment_colour(segment, result, status), pinned=True))
        x += width + gap
    if not texts:
        return (), ()
    bottom = texts[-1].rect[3] + margin // 2
    return (Panel((0.0, 0.0, float(frame_width), bottom), (16, 18, 24), 0.72, pinned=True),), tuple(texts)


def _segment_colour(segment: str, result: FrameResult, status: Status | None) -> Colour:
    """Drops and notices stand out, single stages step back."""
    dropped = segment.startswith("dropped ") and result.counters.dropped > 0
    if dropped or (status is not None and segment == status.notice):
        return _WARNING
    return _DIM if segment.rsplit(" ", 1)[0] in result.timings else _WHITE
